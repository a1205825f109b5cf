"""The version: that of the last tag, in whatever way the package is installed."""

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import hst_assets

PROJECT = Path(__file__).parents[1]
BUILD = """
import sys
from email import message_from_string
from pathlib import Path
from setuptools import build_meta
folder = Path(sys.argv[1])
made = build_meta.prepare_metadata_for_build_wheel(str(folder))
print(message_from_string((folder / made / "METADATA").read_text())["Version"])
"""


@pytest.fixture
def sources(tmp_path):
    """The files that make up the package, without a history."""
    folder = tmp_path / "hst_assets-sources"
    folder.mkdir()
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, folder)
    package = folder / "hst_assets"
    package.mkdir()
    (package / "__init__.py").touch()
    return folder


def built_version(folder, tmp_path):
    metadata = tmp_path / "metadata"
    metadata.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, metadata],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


def git(folder, *words):
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(sources):
    git(sources, "init")
    git(sources, "add", ".")
    git(sources, "commit", "-m", "Begin")
    return sources


def test_the_version_is_that_of_the_installed_package():
    assert hst_assets.__version__ == version("hst_assets")


def test_sources_without_a_history_have_the_fallback_version(sources, tmp_path):
    assert built_version(sources, tmp_path) == "0.1.0.dev0"


def test_a_tagged_commit_has_the_version_of_its_tag(repository, tmp_path):
    git(repository, "tag", "v1.2.3")
    assert built_version(repository, tmp_path) == "1.2.3"


def test_a_commit_after_a_tag_counts_from_it(repository, tmp_path):
    git(repository, "tag", "v1.2.3")
    git(repository, "commit", "--allow-empty", "-m", "Go on")
    assert built_version(repository, tmp_path).startswith("1.2.4.dev1+g")


def test_a_history_without_a_tag_comes_before_the_first_release(repository, tmp_path):
    assert built_version(repository, tmp_path).startswith("0.1.0.dev1+g")

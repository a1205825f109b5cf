"""``hst-assets publish``, and what ``status`` tells of it."""

import errno
import json
import subprocess
import sys

import pytest

from hst_assets.settings import load_settings, write_settings
from hst_assets_tests.publishing.finished_target import FinishedTarget


@pytest.fixture
def destination(tmp_path):
    return (tmp_path / "published").as_uri()


@pytest.fixture
def target(root):
    return FinishedTarget(root)


def test_a_destination_that_is_given_stays_and_the_target_is_published(cli, target, destination):
    result = cli("publish", "sn1", "--to", destination)
    assert result.code == 0, result.err
    assert "made: published_products" in result.out
    assert f"at {destination}/sn1: " in result.out
    assert "verified by checksum" in result.out
    assert load_settings(target.workdir).publish.destination == destination
    again = cli("publish", "sn1")
    assert again.code == 0, again.err
    assert "up to date: published_products" in again.out


def test_a_check_sends_what_was_lost(cli, target, destination, tmp_path):
    cli("publish", "sn1", "--to", destination)
    (lost,) = (tmp_path / "published").rglob("report.html")
    lost.unlink()
    assert "1 were sent" in cli("publish", "sn1", "--check").out
    assert lost.is_file()


def test_all_targets_with_a_destination_are_published_and_one_that_fails_costs_itself(
    cli, root, target, destination, tmp_path
):
    FinishedTarget(root, "sn2", destination)
    FinishedTarget(root, "sn3")  # has none
    FinishedTarget(root, "sn4", destination)
    FinishedTarget(root, "sn5").workdir.settings_file.write_text("[target\n")
    write_settings(target.workdir, {"publish": {"destination": destination}})
    in_the_way = tmp_path / "published" / "sn2" / "manifest.json"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("of somebody else")
    result = cli("publish")
    assert result.code == 1
    assert "this is no manifest" in result.err
    assert "failed sn5: " in result.err
    assert "2 of 5 targets were not published, or not wholly" in result.err
    assert sorted(path.name for path in (tmp_path / "published").iterdir()) == ["sn1", "sn2", "sn4"]


def test_an_odd_folder_and_one_that_cannot_be_read_cost_themselves(
    cli, root, destination, tmp_path, monkeypatch
):
    odd = root / "no target!"
    odd.mkdir(parents=True)
    (odd / "target.toml").write_text("")
    FinishedTarget(root, "sn1", destination)
    FinishedTarget(root, "sn2", destination)
    real = load_settings

    def refused(workdir):
        if workdir.target == "sn1":
            raise PermissionError(errno.EACCES, "Permission denied", str(workdir.settings_file))
        return real(workdir)

    monkeypatch.setattr("hst_assets.cli.publish.load_settings", refused)
    result = cli("publish")
    assert result.code == 1
    assert "failed no target!: " in result.err
    assert "failed sn1: " in result.err
    assert [path.name for path in (tmp_path / "published").iterdir()] == ["sn2"]


def test_products_that_are_not_sent_are_named_and_the_exit_code_says_so(cli, target, destination):
    target.workdir.report.write_text("edited")
    for _ in range(2):  # when it is published, and when nothing is to be done
        result = cli("publish", "sn1", "--to", destination)
        assert result.code == 1
        assert "not published as it is: target_report: file changed" in result.err
    target.make("target_report", target.workdir.report)
    assert cli("publish", "sn1").code == 0


def test_without_a_destination_it_says_how_to_set_one(cli, target):
    assert "give --to" in cli("publish").err
    result = cli("publish", "sn1")
    assert result.code == 2
    assert "publish.destination=s3://BUCKET/PREFIX" in result.err


@pytest.mark.parametrize("url", ["bucket", "s3://key:secret-of-mine@bucket"])
def test_a_destination_that_is_none_is_refused_before_anything_is_made(cli, target, url):
    result = cli("publish", "sn1", "--to", url)
    assert result.code == 2
    assert "user, keys" in result.err or "not a URL" in result.err
    assert "secret-of-mine" not in result.err
    files = [path for path in target.workdir.root.rglob("*") if path.is_file()]
    assert not any(b"secret-of-mine" in path.read_bytes() for path in files)


def test_one_destination_for_all_is_a_setting_of_the_root(cli, target, destination):
    assert "settings.toml" in cli("publish", "--to", destination).err


def test_status_tells_what_is_published_and_what_is_not_or_out_of_date(cli, target, destination):
    assert "published" not in cli("status", "sn1").out
    cli("publish", "sn1", "--to", destination)
    target.make_stacks(version="2")
    target.make("light_curve", target.workdir.light_curve)
    rows = {row["asset"]: row for row in json.loads(cli("status", "sn1", "--json").out)}
    assert rows["target_report"]["published"] == "published"
    assert rows["drizzled_stacks"]["published"] == "out of date"
    assert rows["light_curve"]["published"] == "not published"
    assert rows["raw_exposures"]["published"] == ""
    told = cli("status").out
    assert "3 of 5, 1 not published, 1 out of date" in " ".join(told.split())
    lines = cli("status", "sn1").out.splitlines()
    assert any("drizzled_stacks" in line and "out of date" in line for line in lines)


def test_the_asset_is_shown_where_it_is_wanted(cli, target, destination):
    assert "published_products" not in cli("status", "sn1").out
    write_settings(target.workdir, {"publish": {"destination": destination}})
    (line,) = [
        line for line in cli("status", "sn1").out.splitlines() if "published_products" in line
    ]
    assert "missing" in line or "unknown" in line


def test_the_command_line_is_read_without_the_packages_of_a_store():
    """They take a second, of which each ``--help`` and each completion would wait."""
    program = (
        "import sys\n"
        "from typer.main import get_command\n"
        "from hst_assets.cli.application import application\n"
        "list(get_command(application).commands.values())\n"
        "assert 'hst_assets.cli.publish' in sys.modules\n"
        "names = {'s3fs', 'botocore', 'boto3', 'fsspec', 'upath', 'prometheus_client'}\n"
        "print(sorted(names & sys.modules.keys()))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"

import re
from pathlib import Path

import dagster as dg

import hst_assets
from hst_assets.orchestration import dagster_private

PACKAGE = Path(hst_assets.__file__).parent


def test_private_names_of_dagster_are_imported_in_one_module_only():
    private = re.compile(r"^\s*(?:from|import) dagster\S*\._", re.MULTILINE)
    importers = [path for path in PACKAGE.rglob("*.py") if private.search(path.read_text())]
    assert importers == [Path(dagster_private.__file__)]


def test_a_name_that_dagster_made_public_is_taken_from_there():
    assert [name for name in dagster_private.__all__ if hasattr(dg, name)] == []


def test_each_private_name_says_why():
    assert [name for name in dagster_private.__all__ if name not in dagster_private.__doc__] == []

import json

import pytest
from typer.testing import CliRunner

from hst_assets.cli.application import application
from hst_assets.failures import BadConfiguration
from hst_assets_tests.photometry.light_curve.measured_target import ROOTNAMES
from hst_assets_tests.shown_target import STACK, shown_target


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return shown_target(tmp_path_factory.mktemp("explain"), n_stars=3)


def explain(*arguments):
    return CliRunner().invoke(application, ["explain", *map(str, arguments)], catch_exceptions=True)


def test_a_product_is_told_as_a_tree(workdir):
    lines = explain(workdir.stack_products).stdout.splitlines()
    assert lines[0].startswith("drizzle/stacks.ecsv  [drizzled_stacks]  ")
    assert any(line.strip(" │├└─").startswith(f"drizzle/{STACK}.all.drc.fits") for line in lines)
    assert any(line.strip(" │") == "set: drizzle.pixfrac = 0.9" for line in lines)
    sums = [line for line in lines if f"{ROOTNAMES[0]}_flc.fits  sha256 " in line]
    assert len(sums[0].rpartition(" ")[2]) == 64
    assert lines[-1] == ("Made from 3 verified exposure files; every file is as recorded.")


def test_no_control_character_reaches_the_terminal(workdir):
    assert "\x1b" not in explain(workdir.stack_products).stdout


def test_json_has_all_of_it(workdir):
    told = json.loads(explain(workdir.stack_products, "--json").stdout)
    assert told["product"] == "drizzle/stacks.ecsv"
    assert len(told["raw_files"]) == 3
    assert told["origins"][f"drizzle/{STACK}.all.drc.fits"]["stage"] == "drizzled_image"


def test_what_is_in_doubt_is_counted(workdir):
    assert "1 of 2 origins are in doubt, see '!' above" in explain(workdir.target_alignment).stdout


def test_no_product_is_a_usage_failure(workdir):
    error = explain(workdir.settings_file).exception
    assert isinstance(error, BadConfiguration)
    assert error.next_step

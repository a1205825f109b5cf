"""`hst-assets counterpart`: what is given becomes settings, and what is lacking is told."""

import pytest
from astropy.table import QTable

from hst_assets.settings import load_settings, write_settings
from hst_assets.workdir import WorkDir

PLACE = ("10:00:24", "-02:12:00")


@pytest.fixture
def workdir(root):
    workdir = WorkDir(root, "sn1").create()
    write_settings(workdir, {"target": {"ra_deg": 150.1, "dec_deg": -2.2}})
    return workdir


def test_what_is_given_is_kept_in_the_settings(cli, workdir):
    """Nothing to look at is there: the command fails, and says what is missing."""
    done = cli(
        "counterpart", "sn1", *PLACE, "--error", "25", "--epoch", "4", "--on-stack",
        "--faded", "2020-01-01",
    )  # fmt: skip
    assert done.code != 0
    assert "dolphot_catalog" in done.err + done.out
    chosen = load_settings(workdir).counterpart
    assert (chosen.ra_deg, chosen.dec_deg) == pytest.approx((150.1, -2.2))
    assert (chosen.error_mas, chosen.measured_on, chosen.faded) == (25.0, 4, "2020-01-01")
    assert not chosen.on_difference


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no position whose counterpart"),
        ([*PLACE], "needs its error_mas, or measured_on"),
        ([*PLACE, "--error", "-3"], "greater than 0"),
        (["10:00:24"], "not a position"),
    ],
)
def test_what_cannot_be_is_refused_in_words(cli, workdir, words, message):
    done = cli("counterpart", "sn1", *words)
    assert done.code == 2
    assert message in done.err
    assert load_settings(workdir).counterpart.ra_deg is None


def test_with_a_place_the_whole_question_is_another(cli, workdir):
    """What is left of an earlier question would answer another one."""
    earlier = ("--epoch", "4", "--on-stack", "--appeared", "2013-01-01", "--frame-error", "3")
    cli("counterpart", "sn1", *PLACE, *earlier)
    assert load_settings(workdir).counterpart.measured_on == 4
    cli("counterpart", "sn1", *PLACE, "--error", "25")
    chosen = load_settings(workdir).counterpart
    assert (chosen.error_mas, chosen.measured_on) == (25.0, None)
    assert (chosen.appeared, chosen.frame_error_mas) == (None, None)
    assert chosen.on_difference


def test_without_a_place_only_what_is_given_changes(cli, workdir):
    cli("counterpart", "sn1", *PLACE, "--epoch", "4", "--on-stack")
    cli("counterpart", "sn1", "--faded", "2020-01-01")
    chosen = load_settings(workdir).counterpart
    assert (chosen.measured_on, chosen.faded, chosen.on_difference) == (4, "2020-01-01", False)


def test_an_epoch_that_is_not_there_is_not_kept(cli, workdir):
    table = QTable({"epoch": [1, 2, 3], "used": [True, True, False]})
    workdir.target_exposures.parent.mkdir(parents=True, exist_ok=True)
    table.write(workdir.target_exposures, format="ascii.ecsv")
    done = cli("counterpart", "sn1", *PLACE, "--epoch", "3")
    assert done.code == 2
    assert "Epochs: 1, 2" in done.err
    assert load_settings(workdir).counterpart.ra_deg is None

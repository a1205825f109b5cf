"""The account of a work directory whose tables and records were written by hand."""

import astropy.units as u
import pytest
from astropy.table import QTable

from hst_assets.exposure_account import account_of, by_reason
from hst_assets.exposures.raw import RawFile, write_ledger
from hst_assets.provenance import Recipe, Result, make
from hst_assets.settings import write_settings
from hst_assets.workdir import WorkDir

BY_HAND = "by hand: trailed"
SHORT = "exposed {} s, less than 1 s (keep_short is off)"


@pytest.fixture
def workdir(tmp_path):
    return WorkDir(tmp_path, "sn1").create()


def recorded(workdir, path, table=None, **facts):
    if table is None:
        path.write_text("a product")
    else:
        table.write(path, format="ascii.ecsv", overwrite=True)
    return make(Recipe("text", "1"), path, workdir, lambda: Result((path,), facts), redo=True)


def exposures(workdir, reasons):
    """The target's table and ledger: one exposure a reason, which is empty if it is used."""
    names = [f"jaaa01a{number}q" for number in range(len(reasons))]
    write_ledger(
        workdir,
        [RawFile(f"{name}_flc.fits", name, "jaaa01", "flc", 1, 1, "0" * 64) for name in names],
    )
    table = QTable({"rootname": names, "reason": reasons, "used": [not text for text in reasons]})
    table["visit"], table["detector_key"], table["filter"] = "jaaa01", "acs_wfc", "F606W"
    table["epoch"] = [-1 if text else 1 for text in reasons]
    recorded(workdir, workdir.target_exposures, table)
    return names


def alignment(workdir, names, failed=()):
    table = QTable({"rootname": names, "used": [name not in failed for name in names]})
    table["status"] = ["FAIL" if name in failed else "PASS" for name in names]
    table["reason"] = ["3 matches (minimum 10)" if name in failed else "" for name in names]
    table["n_matches"] = [3 if name in failed else 40 for name in names]
    table["rms_x"], table["rms_y"] = 0.31 * u.pix, 0.52 * u.pix
    recorded(workdir, workdir.visit_alignment("jaaa01"), table)


def stack(workdir, inputs, *, epoch=0, status="OK", reason="", **facts):
    workdir.drizzle.mkdir(exist_ok=True)
    path = workdir.drizzle / "acs_wfc.f606w.all.drc.fits"
    file = "" if status == "FAIL" else workdir.relative(path)
    if file:
        recorded(workdir, path, inputs=list(inputs), **facts)
    row = {"band": ["acs_wfc.f606w"], "epoch": [epoch], "file": [file]}
    row |= {"status": [status], "reason": [reason], "not_checked": [facts.get("unknown", "")]}
    recorded(workdir, workdir.stack_products, QTable(row))


def test_an_empty_work_directory_has_nothing(workdir):
    account = account_of(workdir)
    assert (account.n_exposures, account.left_out, account.products) == (0, (), ())


def test_a_stack_of_one_of_eight_exposures_says_so(workdir):
    names = exposures(workdir, [""] * 8)
    alignment(workdir, names, failed=names[1:])
    stack(workdir, names[:1])
    account = account_of(workdir)
    assert (account.n_exposures, account.n_used) == (8, 1)
    (product,) = account.products
    assert product.counted == "acs_wfc.f606w.all.drc.fits: 1 of 8 exposures"
    assert product.lacking == set(names[1:])
    (group,) = by_reason(account.left_out)
    assert group.rootnames == tuple(names[1:])
    assert group.reason == "FAIL: 3 matches (minimum 10) (3 stars, RMS 0.31 and 0.52 px)"
    assert "keep_a_priori" in group.remedy


def test_what_the_selection_left_out_names_the_setting(workdir):
    names = exposures(workdir, ["", SHORT.format("0.5"), SHORT.format("0.7"), BY_HAND])
    alignment(workdir, names[:1])
    account = account_of(workdir)
    short, by_hand = by_reason(account.left_out)
    assert (short.step, short.rootnames) == ("selection", tuple(names[1:3]))
    assert short.reason == SHORT.format("0.5")
    assert "selection.keep_short" in short.remedy
    assert by_hand.remedy == "change overrides.ecsv"
    assert [each.is_wanted for each in account.left_out] == [False, False, True]


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [
        ("filter F606W is not among F814W (only_filter)", True),
        ("filter F606W is not among F814W (only_filter); EXPFLAG is TDF-DOWN, not NORMAL", True),
        ("filter F606W is not among F814W (only_filter); exposed 0 s (keep_short is off)", False),
        ("EXPFLAG is EXCESSIVE DOWNTIME, not NORMAL", False),
    ],
)
def test_a_choice_of_filters_or_dates_is_the_users(workdir, reason, wanted):
    exposures(workdir, [reason])
    (left_out,) = account_of(workdir).left_out
    assert left_out.is_wanted is wanted


def test_a_visit_that_is_not_aligned_is_told(workdir):
    (name,) = exposures(workdir, [""])
    (left_out,) = account_of(workdir).left_out
    assert (left_out.rootname, left_out.reason) == (name, "not aligned")
    assert "jaaa01" in left_out.remedy


def test_a_band_that_failed_has_no_exposures_and_its_reason(workdir):
    names = exposures(workdir, ["", ""])
    alignment(workdir, names)
    stack(workdir, (), status="FAIL", reason="the disk is full")
    (product,) = account_of(workdir).products
    assert product.counted == "acs_wfc.f606w: 0 of 2 exposures"
    assert (product.status, product.reason) == ("FAIL", "the disk is full")


def test_what_was_not_checked_is_told_with_the_count(workdir):
    names = exposures(workdir, ["", ""])
    alignment(workdir, names)
    stack(workdir, names, status="UNCHECKED", unknown="star fluxes: 2 stars")
    (product,) = account_of(workdir).products
    assert product.reason == "not checked: star fluxes: 2 stars"


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        (["jaaa01a1q_flc.fits"], "it does not reach into the frame of the products"),
        ({"jaaa01a1q_flc.fits": "no good pixel"}, "no good pixel"),
    ],
)
def test_what_was_left_out_when_it_was_drizzled_is_named(workdir, left_out, reason):
    names = exposures(workdir, ["", ""])
    alignment(workdir, names)
    stack(workdir, names[:1], left_out=left_out)
    account = account_of(workdir)
    (found,) = account.left_out
    assert (found.rootname, found.step, found.reason) == (names[1], "drizzling", reason)
    assert account.n_used == 2


def test_an_exposure_that_is_not_in_the_catalogue_is_named(workdir):
    names = exposures(workdir, ["", "", ""])
    alignment(workdir, names)
    chips = [(names[0], True, True, ""), (names[0], False, False, "does not hold the target")]
    chips += [(names[1], False, False, "does not hold the target")] * 2
    chips += [(names[2], False, True, "no SCI extension")]
    table = QTable(rows=chips, names=["exposure", "used", "contains_target", "reason"])
    table["role"] = "exposure"
    workdir.dolphot.mkdir(exist_ok=True)
    recorded(workdir, workdir.dolphot_inputs, table)
    off, damaged = account_of(workdir).left_out
    assert (off.rootname, off.step) == (names[1], "photometry")
    assert "include_all_splits" in off.remedy
    assert (damaged.rootname, damaged.reason) == (names[2], "no SCI extension")
    assert "include_all_splits" not in damaged.remedy


def test_an_epoch_counts_what_was_selected_for_it(workdir):
    names = exposures(workdir, ["", "", BY_HAND])
    alignment(workdir, names[:2])
    stack(workdir, names[:2], epoch=1)
    (product,) = account_of(workdir).products
    assert (product.n_exposures, product.n_available) == (2, 2)


def test_settings_of_bands_that_are_not_combined_are_named_with_those_that_are(workdir):
    names = exposures(workdir, ["", "", BY_HAND])
    alignment(workdir, names[:2])
    zero_point = [3e-19, 5356.0]
    photometry = {"acs_wfc.f606w": zero_point, "acs_hrc.f555w": zero_point}
    levels = {names[0]: 0.1, names[2]: 0.2}
    write_settings(workdir, {"drizzle": {"photometry": photometry, "sky_level": levels}})
    zero_points, level = account_of(workdir).without_effect
    assert zero_points.startswith("drizzle.photometry has no effect for acs_hrc.f555w: ")
    assert zero_points.endswith("(bands: acs_wfc.f606w)")
    assert level.startswith(f"drizzle.sky_level has no effect for {names[2]}: ")

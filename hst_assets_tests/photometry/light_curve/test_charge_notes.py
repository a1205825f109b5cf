"""Lost charge in the notes of a light curve: by what it was measured on, and with what."""

import pytest
from astropy.io import fits

from hst_assets.photometry.light_curve.charge_notes import charge_notes
from hst_assets.photometry.light_curve.product import make_light_curve
from hst_assets.provenance import Recipe, Result, make
from hst_assets.settings import load_settings, write_settings
from hst_assets_tests.photometry.light_curve.measured_target import Stars, measured_target

NAMES = "iaaa01a1q.chip1, iaaa01a2q.chip1, iaaa01a3q.chip1, iaaa02a1q.chip1"


@pytest.fixture
def target(tmp_path):
    return measured_target(tmp_path, Stars([[1.0], [1.2], [3.0], [-0.05]], 0.1))


def inputs_of(workdir, **columns):
    """Let the images be others: columns of their table by name."""
    from astropy.table import QTable

    table = QTable.read(workdir.dolphot_inputs)
    for name, value in columns.items():
        table[name] = [value] * len(table)
    table.write(workdir.dolphot_inputs, overwrite=True)


def with_switch(workdir, value):
    """Let the exposures say whether their charge was corrected."""
    for path in (workdir.dolphot / "inputs").glob("iaaa*.fits"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].header["PCTECORR"] = value


def notes(workdir, *, has_differences=False):
    return charge_notes(workdir, load_settings(workdir), has_differences=has_differences)


def test_exposures_that_were_corrected_need_no_note(target):
    with_switch(target, "COMPLETE")
    assert notes(target, has_differences=True) == ()


def test_exposures_that_were_not_are_named_with_the_detector(target):
    with_switch(target, "OMIT")
    (told,) = notes(target)
    assert told.startswith(
        f"catalog and forced: wfc3_uvis: lost charge not corrected on 4 of 4 images ({NAMES}): "
    )


def test_exposures_that_do_not_say_are_not_checked(target):
    (told,) = notes(target)
    assert "wfc3_uvis: lost charge not checked on 4 of 4 images" in told


def test_the_formula_for_wfpc2_does_not_reach_differences(target):
    inputs_of(target, instrument="WFPC2", detector="WFPC2")
    assert notes(target) == ()
    (told,) = notes(target, has_differences=True)
    assert told.startswith(
        f"difference: wfpc2: lost charge not corrected on 4 of 4 images ({NAMES})"
    )


def test_without_the_formula_wfpc2_is_not_corrected(target):
    inputs_of(target, instrument="WFPC2", detector="WFPC2")
    write_settings(target, {"embedded": {"wfpc2_cte": False}})
    (told,) = notes(target)
    assert told.endswith("embedded.wfpc2_cte corrects it")


def test_of_a_catalogue_by_dolphot_what_it_said_of_itself_is_told(target):
    """It corrects ACS by a formula of its own; the forced fluxes of ACS/HRC are not corrected."""
    inputs_of(target, instrument="ACS", detector="HRC")
    write_settings(target, {"dolphot": {"UseCTE": 0, "ACSuseCTE": 1}})
    remark = (
        "ACS is not corrected for charge transfer, though ACSuseCTE is 1: DOLPHOT 2 corrects all "
        "instruments or none"
    )
    path = target.dolphot_catalog("dp")
    result = Result((path,), {"remarks": [remark, "another"]})
    make(Recipe(stage="dolphot_catalog"), path, target, lambda: result)
    forced, catalog = notes(target)
    assert forced.startswith("forced: acs_hrc: lost charge not corrected on 4 of 4 images")
    assert catalog == f"catalog: {remark}"


def test_exposures_that_are_not_in_the_table_are_not_checked(target):
    """Of WFPC2, whose loss has a formula that needs the time."""
    from astropy.table import QTable

    inputs_of(target, instrument="WFPC2", detector="WFPC2")
    table = QTable.read(target.target_exposures)
    table[1:].write(target.target_exposures, overwrite=True)
    difference, not_checked = notes(target, has_differences=True)
    assert difference.startswith("difference: wfpc2: lost charge not corrected on 3 of 3 images")
    assert not_checked == (
        "whether lost charge is corrected: not checked: iaaa01a1q.chip1 is not in the table of "
        "exposures, or without a time there"
    )


def test_where_the_header_tells_no_time_is_needed(target):
    from astropy.table import QTable

    with_switch(target, "COMPLETE")
    table = QTable.read(target.target_exposures)
    table[1:].write(target.target_exposures, overwrite=True)
    assert notes(target) == ()


def test_images_that_cannot_be_read_are_not_checked(target):
    target.dolphot_inputs.unlink()
    (told,) = notes(target)
    assert told.startswith("whether lost charge is corrected: not checked: ")


def test_the_light_curve_has_the_note(target):
    with_switch(target, "OMIT")
    made = make_light_curve(target, load_settings(target))
    assert any("lost charge not corrected on 4 of 4 images" in one for one in made.facts["notes"])

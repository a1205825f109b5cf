"""What could not be drizzled or compared is said, and costs only itself."""

from __future__ import annotations

import pytest

from hst_assets.failures import (
    DiskFull,
    MissingProduct,
    NoReply,
    OutOfMemory,
    TimedOut,
    ToolFailed,
    UnusableInput,
)
from hst_assets.imaging.drizzling import make_stacks, make_visit_drizzles
from hst_assets.products.columns import read_table
from hst_assets.provenance import read_record
from hst_assets.workdir import WorkDir
from hst_assets_tests.imaging.conftest import align_as_is
from hst_assets_tests.imaging.stand_in_drizzler import changed, names

pytestmark = pytest.mark.xdist_group("imaging")  # shares the simulated campaign


# ------------------------------------------------------------------- nothing to compare


def test_star_fluxes_that_could_not_be_compared_are_no_ok(workdir, settings, drizzler) -> None:
    drizzler.stars = (None, 2)
    made = make_visit_drizzles(workdir, "isim01", settings)
    table = read_table(workdir.visit_products("isim01"))
    assert list(table["status"]) == ["UNCHECKED"]
    said = "star fluxes: 2 stars can be compared, 3 are needed"
    assert list(table["not_checked"]) == [said]
    assert made.facts["not_checked"] == [f"isim01.wfc3_uvis.f606w.drc.fits: {said}"]
    assert made.facts["problems"] == []


def test_a_problem_is_said_before_what_was_not_checked(workdir, settings, drizzler) -> None:
    drizzler.stars = (None, 0)
    drizzler.bad_fraction = 0.9
    make_visit_drizzles(workdir, "isim01", settings)
    (row,) = read_table(workdir.visit_products("isim01"))
    assert row["status"] == "PROBLEM"
    assert row["not_checked"]


# --------------------------------------------------------------------------------- failures


def test_a_bad_band_costs_only_itself(workdir, settings, drizzler) -> None:
    drizzler.failing["isim02.wfc3_uvis.f814w"] = ToolFailed("crashed", where="x")
    made = make_visit_drizzles(workdir, "isim02", settings)
    assert made.facts["n_products"] == 1
    assert made.facts["failed"] == ["wfc3_uvis.f814w: x: crashed"]
    table = read_table(workdir.visit_products("isim02"))
    assert list(table["status"]) == ["OK", "FAIL"]
    assert list(table["reason"]) == ["", "x: crashed"]
    assert list(table["file"])[1] == ""


def test_what_stood_under_the_name_of_a_failure_is_taken_away(workdir, settings, drizzler) -> None:
    make_visit_drizzles(workdir, "isim02", settings)
    drizzler.failing["isim02.wfc3_uvis.f814w"] = ToolFailed("crashed")
    make_visit_drizzles(workdir, "isim02", changed(settings, pixfrac=0.5))
    assert names(workdir.workspace) == {"isim02.wfc3_uvis.f606w.drc.fits"}


@pytest.mark.parametrize(
    ("kind", "again"),
    [(DiskFull, True), (NoReply, True), (OutOfMemory, True), (TimedOut, True), (ToolFailed, False)],
)
def test_only_failures_that_may_go_away_are_tried_again(
    workdir, settings, drizzler, kind, again
) -> None:
    drizzler.failing["isim02.wfc3_uvis.f814w"] = kind("no luck")
    make_visit_drizzles(workdir, "isim02", settings)
    drizzler.forget()
    drizzler.failing.clear()
    assert make_visit_drizzles(workdir, "isim02", settings).ran is again
    assert drizzler.asked == (["isim02.wfc3_uvis.f814w"] if again else [])


def test_if_nothing_can_be_made_the_failure_is_raised(workdir, settings, drizzler) -> None:
    drizzler.failing["isim01.wfc3_uvis.f606w"] = UnusableInput("all saturated")
    with pytest.raises(UnusableInput, match="all saturated"):
        make_visit_drizzles(workdir, "isim01", settings)
    assert not workdir.visit_products("isim01").exists()


def test_a_visit_without_usable_exposures_says_so(workdir, settings, drizzler) -> None:
    align_as_is(workdir, "isim01", leave_out=("isim01a0q", "isim01a1q", "isim01a2q"))
    with pytest.raises(UnusableInput, match="no exposure to drizzle"):
        make_visit_drizzles(workdir, "isim01", settings)


def test_a_visit_whose_exposures_are_all_refused_has_no_products_left(
    workdir, settings, drizzler
) -> None:
    make_visit_drizzles(workdir, "isim01", settings)
    (product,) = workdir.workspace.glob("isim01.*.drc.fits")
    path = workdir.visit_exposures("isim01")
    table = read_table(path)
    table["used"] = False
    table.write(path, format="ascii.ecsv", overwrite=True)
    made = make_visit_drizzles(workdir, "isim01", settings)
    assert made.facts["n_products"] == 0
    assert "no exposure is in use" in made.facts["note"]
    assert len(read_table(workdir.visit_products("isim01"))) == 0
    gone = (product, WorkDir.preview(product), WorkDir.record(product))
    assert not any(each.exists() for each in (*gone, workdir.visit_footprints("isim01")))
    assert not make_visit_drizzles(workdir, "isim01", settings).ran


#: A rerun that fails half way leaves the table, but not its record.
LOST = pytest.mark.parametrize("lost", [lambda path: path, WorkDir.record], ids=["table", "record"])


@LOST
def test_a_visit_that_is_not_aligned_says_so(workdir, settings, drizzler, lost) -> None:
    lost(workdir.visit_alignment("isim01")).unlink()
    with pytest.raises(MissingProduct, match="not aligned"):
        make_visit_drizzles(workdir, "isim01", settings)


@LOST
def test_a_visit_that_is_not_aligned_is_left_out_of_stacks(
    workdir, settings, drizzler, lost
) -> None:
    lost(workdir.visit_alignment("isim01")).unlink()
    make_stacks(workdir, settings)
    assert "wfc3_uvis.f606w.ut150707_0001.drc.fits" not in names(workdir.drizzle)
    assert "wfc3_uvis.f606w.ut150816_0002.drc.fits" in names(workdir.drizzle)


def test_an_aligned_exposure_that_is_gone_fails_its_band(workdir, settings, drizzler) -> None:
    workdir.aligned("isim02a1q_flc.fits").unlink()
    made = make_visit_drizzles(workdir, "isim02", changed(settings, no_mask=True))
    assert len(made.facts["failed"]) == 1
    assert "aligned exposure is missing" in made.facts["failed"][0]


def test_a_helper_that_is_gone_is_not_done_without_in_silence(workdir, settings, drizzler) -> None:
    workdir.aligned("isim02a1q_flc.fits").unlink()
    with pytest.raises(MissingProduct, match="isim02a1q_flc"):
        make_visit_drizzles(workdir, "isim02", settings)


def without_working_copies(workdir: WorkDir) -> None:
    for path in workdir.workspace.glob("*_flc.fits"):
        path.unlink()


def test_stacks_stand_when_the_working_copies_are_cleaned_away(workdir, settings, drizzler) -> None:
    make_stacks(workdir, settings)
    stacks = names(workdir.drizzle)
    drizzler.forget()
    without_working_copies(workdir)
    assert not make_stacks(workdir, settings).ran
    assert drizzler.asked == []
    assert names(workdir.drizzle) == stacks


def test_exposures_that_are_gone_cost_no_finished_image(workdir, settings, drizzler) -> None:
    make_stacks(workdir, settings)
    stack = workdir.drizzle / "wfc3_uvis.f814w.all.drc.fits"
    before = stack.read_text()
    without_working_copies(workdir)
    with pytest.raises(MissingProduct, match="aligned exposure is missing"):
        make_stacks(workdir, changed(settings, pixfrac=0.5))
    assert stack.read_text() == before
    assert WorkDir.preview(stack).is_file()
    record = read_record(stack)
    assert record is not None
    assert record.whole(workdir)
    assert not make_stacks(workdir, settings).facts["failed"]

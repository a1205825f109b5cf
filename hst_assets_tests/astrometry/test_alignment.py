"""The whole of the astrometry on a simulated campaign, judged by its truth."""

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from hst_assets.astrometry import alignment
from hst_assets.astrometry.alignment import make_aligned_visit, make_target_alignment
from hst_assets.astrometry.alignment_result import AlignmentResult, ExposureToAlign
from hst_assets.astrometry.alignment_table import ALIGNMENT_COLUMNS, read_alignment
from hst_assets.astrometry.methods import registry
from hst_assets.astrometry.reference import stars as reference_stars
from hst_assets.astrometry.reference.frame import read_reference
from hst_assets.astrometry.reference.image import make_reference
from hst_assets.detectors import DETECTORS
from hst_assets.failures import (
    Crashed,
    MissingProduct,
    OutOfMemory,
    TimedOut,
    ToolFailed,
    UnusableInput,
)
from hst_assets.isolation import run_many_isolated
from hst_assets.machine.failures import crashed_twice
from hst_assets.products.batch import make_missing
from hst_assets.products.columns import read_table
from hst_assets.provenance import Made, Recipe, Result, make, read_record, standing_record
from hst_assets.settings import AlignmentSettings, GateSettings, ReferenceSettings, Settings
from hst_assets.simulate.truth import true_offset
from hst_assets.workdir import WorkDir

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("astrometry_campaign")]

WCS_KEYS = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")


def offsets(campaign, folder):
    """Offset of each exposure in `folder` from the true sky, arcsec (east, north)."""
    found = {}
    for row in read_table(campaign.workdir.target_exposures):
        rootname, name = str(row["rootname"]), str(row["file"])
        offset = true_offset(folder / name, campaign.truth.positions(rootname))
        found[rootname] = (np.array([offset.east_arcsec, offset.north_arcsec]), row["detector_key"])
    return found


def impossible(settings, **alignment):
    """Settings under which no fit is believed, on a single rung."""
    return settings.model_copy(
        update={
            "gate": GateSettings(min_matches=100_000),
            "alignment": AlignmentSettings(max_tries=1, **alignment),
        }
    )


def wcs_cards(path):
    with fits.open(path) as hdus:
        return [[hdu.header[key] for key in WCS_KEYS] for hdu in hdus if hdu.name == "SCI"]


def test_all_filters_and_detectors_come_onto_one_frame(campaign):
    before = [value for value, _ in offsets(campaign, campaign.workdir.raw).values()]
    assert np.ptp(before, axis=0).max() > 0.15  # there was something to do
    anchor = campaign.reference.facts["anchor"]
    frame, _ = offsets(campaign, campaign.workdir.raw)[anchor]
    for rootname, (offset, key) in offsets(campaign, campaign.workdir.workspace).items():
        # A confusion of 0- and 1-based pixels anywhere would leave 0.5 or 1 pixel.
        error = np.abs(offset - frame) / DETECTORS[str(key)].pixel_scale_arcsec
        assert error.max() < 0.1, rootname


def test_every_exposure_passes_with_its_numbers(campaign):
    for visit in campaign.visits:
        table = read_alignment(campaign.workdir.visit_alignment(visit))
        assert table.colnames == [spec.name for spec in ALIGNMENT_COLUMNS]
        assert set(table["status"]) == {"PASS"}
        assert table["used"].all()
        assert table["rms_x"].to_value("pix").max() < 0.25
        assert table["n_held_out"].min() >= 10
        assert campaign.made[visit].facts["n_pass"] == len(table)


def test_raw_files_stay_as_they_were(campaign):
    after = {path.name: path.read_bytes() for path in campaign.workdir.raw.glob("*.fits")}
    assert after == campaign.raw_before


def test_the_header_tells_success_reference_and_recipe(campaign):
    row = read_alignment(campaign.workdir.visit_alignment(campaign.visits[0]))[0]
    header = fits.getheader(campaign.workdir.aligned(str(row["file"])))
    assert header["TWEAKSUC"] == 1
    assert header["HST123 ALIGNOK"] is True
    assert header["HST123 ALIGNMT"] == "tweakreg"
    assert header["HST123 ALIGNRF"] == campaign.reference.digest[:40]
    assert header["HST123 ALIGNDG"] == str(row["digest"])[:40]
    assert header["HST123 ALIGNNM"] == row["n_matches"]


def test_nothing_changed_nothing_runs(campaign):
    assert not make_reference(campaign.workdir, campaign.settings).ran
    for visit in campaign.visits:
        assert not make_aligned_visit(campaign.workdir, visit, campaign.settings).ran


def test_only_the_exposure_that_is_gone_is_aligned_again(campaign, copied):
    visit = campaign.visits[0]
    files = [str(f) for f in read_alignment(copied.visit_alignment(visit))["file"]]
    stamps = {name: copied.aligned(name).stat().st_mtime_ns for name in files[1:]}
    original = wcs_cards(copied.aligned(files[0]))
    copied.aligned(files[0]).unlink()
    assert make_aligned_visit(copied, visit, campaign.settings).ran
    assert wcs_cards(copied.aligned(files[0])) == original
    assert stamps == {name: copied.aligned(name).stat().st_mtime_ns for name in files[1:]}


def test_a_failure_keeps_the_archives_wcs_and_is_left_out_unless_told_otherwise(campaign, copied):
    visit = campaign.visits[1]
    settings = impossible(campaign.settings)
    facts = make_aligned_visit(copied, visit, settings).facts
    table = read_alignment(copied.visit_alignment(visit))
    assert facts["n_fail"] == len(table)
    assert not table["used"].any()
    assert all("matches (minimum 100000)" in reason for reason in table["reason"])
    for name in map(str, table["file"]):
        assert wcs_cards(copied.aligned(name)) == wcs_cards(copied.raw / name)
        assert "TWEAKSUC" not in fits.getheader(copied.aligned(name))

    stamps = [copied.aligned(str(name)).stat().st_mtime_ns for name in table["file"]]
    kept = impossible(campaign.settings, on_failure="keep_a_priori")
    make_aligned_visit(copied, visit, kept)
    table = read_alignment(copied.visit_alignment(visit))
    assert table["used"].all()
    assert set(table["status"]) == {"FAIL"}
    assert all(reason.startswith("used with the archive's WCS") for reason in table["reason"])
    # What becomes of a failure is no reason to run the tool again.
    assert stamps == [copied.aligned(str(n)).stat().st_mtime_ns for n in table["file"]]


def test_skipping_keeps_the_archives_wcs_and_says_so(campaign, copied):
    visit = campaign.visits[1]
    settings = campaign.settings.model_copy(
        update={"alignment": AlignmentSettings(skip_tweakreg=True)}
    )
    make_aligned_visit(copied, visit, settings)
    table = read_alignment(copied.visit_alignment(visit))
    assert set(table["status"]) == {"SKIPPED"}
    assert set(table["method"]) == {"none"}
    assert table["used"].all()
    for name in map(str, table["file"]):
        assert wcs_cards(copied.aligned(name)) == wcs_cards(copied.raw / name)
        assert fits.getheader(copied.aligned(name))["HST123 ALIGNST"] == "SKIPPED"


def test_a_crash_of_one_exposure_costs_only_itself(campaign, copied):
    visit = campaign.visits[1]
    bad = str(read_alignment(copied.visit_alignment(visit))["file"][0])
    path = copied.raw / bad
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:40_000])
    make_aligned_visit(copied, visit, campaign.settings, redo=True)
    table = read_alignment(copied.visit_alignment(visit))
    status = dict(zip(map(str, table["file"]), map(str, table["status"]), strict=True))
    assert status.pop(bad) == "FAIL"
    assert set(status.values()) == {"PASS"}


def failing_for(name, failure):
    """`run_many_isolated`, but the call on exposure file `name` ends in `failure`."""

    def run(task, calls, **options):
        bad = [Path(call.arguments["raw"]).name == name for call in calls]
        good = [call for call, is_bad in zip(calls, bad, strict=True) if not is_bad]
        answers = iter(run_many_isolated(task, good, **options))
        return [failure if is_bad else next(answers) for is_bad in bad]

    return run


def test_a_time_out_is_not_recorded_and_tried_again(campaign, copied, monkeypatch):
    visit = campaign.visits[1]
    bad, good = (str(n) for n in read_alignment(copied.visit_alignment(visit))["file"])
    copied.record(copied.aligned(bad)).unlink()
    copied.record(copied.aligned(good)).unlink()
    failure = TimedOut("align: stopped after 9 s", where="a.log", log_tail=["Traceback"])
    with monkeypatch.context() as patch:
        patch.setattr(registry, "run_many_isolated", failing_for(bad, failure))
        with pytest.raises(
            TimedOut, match=r"1 exposures: the alignment tool failed .*stopped after 9 s\)"
        ):
            make_aligned_visit(copied, visit, campaign.settings)
    assert read_record(copied.aligned(bad)) is None
    assert read_record(copied.visit_alignment(visit)) is None
    assert read_record(copied.aligned(good)).facts["status"] == "PASS"
    stamp = copied.aligned(good).stat().st_mtime_ns

    assert make_aligned_visit(copied, visit, campaign.settings).facts["n_pass"] == 2
    assert copied.aligned(good).stat().st_mtime_ns == stamp
    assert not make_aligned_visit(copied, visit, campaign.settings).ran


def test_an_exposure_that_crashes_the_tool_is_left_out_by_name(campaign, copied, monkeypatch):
    """Until something changes: the same tool crashes on the same exposure again."""
    visit = campaign.visits[1]
    bad, good = (str(n) for n in read_alignment(copied.visit_alignment(visit))["file"])
    for name in (bad, good):
        copied.record(copied.aligned(name)).unlink()
    failure = crashed_twice(Crashed("align: was ended by SIGSEGV"))
    with monkeypatch.context() as patch:
        patch.setattr(registry, "run_many_isolated", failing_for(bad, failure))
        made = make_aligned_visit(copied, visit, campaign.settings)
        assert not make_aligned_visit(copied, visit, campaign.settings).ran
    assert (made.facts["n_pass"], made.facts["n_fail"], made.facts["n_used"]) == (1, 1, 1)
    rows = {str(row["file"]): row for row in read_alignment(copied.visit_alignment(visit))}
    assert not rows[bad]["used"]
    assert rows[bad]["reason"].startswith(
        "left out: the alignment tool failed on it: align: was ended"
    )
    assert read_record(copied.aligned(bad)) is None


def test_a_tool_that_fails_on_all_exposures_is_a_failure(campaign, copied, monkeypatch):
    def broken(task, calls, **options):
        return [ToolFailed("exited with status 1") for _ in calls]

    visit = campaign.visits[1]
    for name in read_alignment(copied.visit_alignment(visit))["file"]:
        copied.record(copied.aligned(str(name))).unlink()
    monkeypatch.setattr(registry, "run_many_isolated", broken)
    with pytest.raises(ToolFailed, match="2 exposures: the alignment tool failed"):
        make_aligned_visit(copied, visit, campaign.settings)


def test_an_exposure_with_too_few_stars_is_recorded_as_it_is(campaign, copied, monkeypatch):
    visit = campaign.visits[1]
    bad = str(read_alignment(copied.visit_alignment(visit))["file"][0])
    copied.record(copied.aligned(bad)).unlink()
    monkeypatch.setattr(
        registry, "run_many_isolated", failing_for(bad, UnusableInput("too few stars"))
    )
    assert make_aligned_visit(copied, visit, campaign.settings).facts["n_fail"] == 1
    assert not make_aligned_visit(copied, visit, campaign.settings).ran


def test_a_failure_of_the_tool_makes_no_reference(campaign, copied, monkeypatch):
    """Neither without the exposure concerned, nor on the frame of another one."""
    product = read_reference(copied).image
    note = json.loads(copied.reference_choice.read_text())
    other = next(name for name in note["choice"]["exposures"] if name != note["anchor"])
    monkeypatch.setattr(registry, "run_many_isolated", failing_for(other, TimedOut("it hung")))
    with pytest.raises(TimedOut, match="it hung"):
        make_reference(copied, campaign.settings, redo=True)
    assert read_record(product) is None
    with pytest.raises(MissingProduct, match="was not finished"):
        read_reference(copied)

    def out_of_memory(task, arguments, **options):
        raise OutOfMemory("was killed")

    monkeypatch.setattr(reference_stars, "run_isolated", out_of_memory)
    with pytest.raises(OutOfMemory, match="was killed"):
        make_reference(copied, campaign.settings)  # tried again, without being told to


def test_the_gather_holds_every_exposure_and_its_stars(campaign):
    made = make_target_alignment(campaign.workdir, campaign.visits, campaign.settings)
    path = campaign.workdir.target_alignment
    exposures = QTable.read(path, path="exposures", format="hdf5")
    matches = QTable.read(path, path="matches", format="hdf5")
    assert len(exposures) == made.facts["n_exposures"] == 6
    assert matches["dra"].unit == "mas"
    assert len(matches) == exposures["n_matches"].sum()
    # Of right fits, as good as every star is found again by a fit without it.
    assert np.count_nonzero(matches["predicted"]) > 0.9 * len(matches)
    assert not make_target_alignment(campaign.workdir, campaign.visits, campaign.settings).ran


def test_gathering_a_visit_without_alignment_is_an_error(campaign, tmp_path):
    with pytest.raises(MissingProduct, match="has no alignment"):
        make_target_alignment(WorkDir(tmp_path, "field"), ["iaaa01"], campaign.settings)


def test_the_choice_stays_when_a_deeper_exposure_comes(campaign, copied):
    table = read_table(copied.target_exposures)
    infrared = np.asarray(table["detector_key"]) == "wfc3_ir"
    table["exptime"][infrared] *= 100
    table.write(copied.target_exposures, format="ascii.ecsv", overwrite=True)
    assert not make_reference(copied, campaign.settings).ran
    assert read_reference(copied).name.startswith("wfc3_uvis")


def test_the_users_image_is_the_frame_and_stays_as_it_is(campaign, copied, tmp_path):
    image = tmp_path / "mine.fits"
    standing = read_reference(campaign.workdir)
    image.write_bytes(standing.image.read_bytes())
    settings = campaign.settings.model_copy(update={"reference": ReferenceSettings(image=image)})
    made = make_reference(copied, settings)
    assert made.ran
    assert read_reference(copied).image == image
    assert made.facts["n_stars"] > 100
    assert image.read_bytes() == standing.image.read_bytes()
    assert not make_reference(copied, settings).ran


# ----------------------------------------------------------------------- what is done again


def a_job(workdir, rootname, together):
    name = f"{rootname}_flc.fits"
    target = ExposureToAlign(workdir.raw / name, rootname, "wfc3_uvis")
    recipe = Recipe("aligned_exposure", "1", {name: "1"})
    path = workdir.aligned(name)
    together = frozenset(f"{each}_flc.fits" for each in together)
    return alignment._Job(target, recipe, path, None, "wfc3_uvis.f606w", together)


def stand(workdir, job):
    job.path.write_text("aligned")
    make(job.recipe, job.path, workdir, lambda: Result((job.path,), {}))


def test_only_the_epoch_of_what_is_missing_is_aligned_again(tmp_path, monkeypatch):
    """And a failure of the tool takes nothing from an exposure that stands."""
    workdir = WorkDir(tmp_path, "field").create()
    missing, beside, other = (
        a_job(workdir, "a", "ab"),
        a_job(workdir, "b", "ab"),
        a_job(workdir, "c", "c"),
    )
    stand(workdir, beside)
    stand(workdir, other)
    asked = []

    def fail(_settings, _workdir, targets, *_):
        asked.extend(target.rootname for target in targets)
        failure = ToolFailed("it hung")
        return {
            target.rootname: AlignmentResult((), "FAIL", "none", failure=failure)
            for target in targets
        }

    monkeypatch.setattr(alignment, "correct", lambda targets, *_, **__: (targets, {}))
    monkeypatch.setattr(alignment, "_outcomes", fail)
    settings = Settings(alignment=AlignmentSettings(hierarchical=True))
    batch = alignment._batch(workdir, settings, [missing, beside, other], None)
    outcomes = make_missing(batch, workdir)
    assert asked == ["a", "b"]
    assert [type(outcome) for outcome in outcomes] == [ToolFailed, ToolFailed, Made]
    assert read_record(missing.path) is None
    assert standing_record(beside.recipe, beside.path, workdir)


def test_a_lost_table_of_matches_is_not_taken_for_none(campaign, copied):
    row = read_alignment(copied.visit_alignment(campaign.visits[0]))[0]
    copied.exposure_matches(str(row["rootname"])).unlink()
    with pytest.raises(MissingProduct, match="matches of an aligned exposure"):
        make_target_alignment(copied, campaign.visits, campaign.settings, redo=True)

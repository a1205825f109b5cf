"""Which products stand, which are made again, and what is written down about them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from hst_assets.failures import (
    DiskFull,
    HstAssetsError,
    MissingProduct,
    NoReply,
    OutOfMemory,
    TimedOut,
    ToolFailed,
    UnusableInput,
)
from hst_assets.imaging import drizzling
from hst_assets.imaging.astrodrizzle.run import DrizzleReport, DrizzleRequest
from hst_assets.imaging.cosmic_rays import MOST_OTHERS
from hst_assets.imaging.drizzling import make_stacks, make_visit_drizzles
from hst_assets.imaging.plan import AlignedExposure, others_of
from hst_assets.products import batch
from hst_assets.products.columns import read_table
from hst_assets.provenance import read_record
from hst_assets.settings import MachineSettings, Settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.imaging.conftest import VISITS, align_as_is
from hst_assets_tests.small_disk import run_with_own_mounts

pytestmark = pytest.mark.xdist_group("imaging")  # shares the simulated campaign

EPOCHS = {
    "wfc3_uvis.f606w.ut150707_0001.drc.fits",
    "wfc3_uvis.f606w.ut150816_0002.drc.fits",
    "wfc3_uvis.f814w.ut150816_0003.drc.fits",
}
FILTERS = {"wfc3_uvis.f606w.all.drc.fits", "wfc3_uvis.f814w.all.drc.fits"}


class Drizzler:
    """Stand-in for `drizzle_many`: writes small files and notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.helpers: dict[str, list[str]] = {}
        self.failing: dict[str, HstAssetsError] = {}
        self.bad_fraction = 0.01
        self.stars: tuple[float | None, int] = (1.002, 12)

    def __call__(
        self, requests: Sequence[DrizzleRequest], *, workdir: WorkDir, machine: MachineSettings
    ) -> list[DrizzleReport | HstAssetsError]:
        return [self._one(request) for request in requests]

    def _one(self, request: DrizzleRequest) -> DrizzleReport | HstAssetsError:
        self.asked.append(request.label)
        self.helpers[request.label] = [path.name for path in request.others]
        if request.label in self.failing:
            return self.failing[request.label]
        request.output.parent.mkdir(exist_ok=True)
        request.output.write_text(f"{request.cards['RECIPE']} drizzled")
        WorkDir.preview(request.output).write_text("preview")
        return DrizzleReport(
            product=str(request.output),
            inputs=tuple(path.name.split("_")[0] for path in request.exposures),
            left_out=(),
            failed=(),
            exptime_s=300.0 * len(request.exposures),
            sky_per_s=0.04,
            cosmic_ray_fraction=None,
            bad_fraction=self.bad_fraction,
            weight_max=300.0,
            flux_ratio=self.stars[0],
            n_flux_stars=self.stars[1],
            complaints=(),
            problems=(),
            seconds=1.0,
            mjd_start=57210.25,
            mjd_end=57210.26,
        )

    def forget(self) -> None:
        self.asked.clear()
        self.helpers.clear()


@pytest.fixture
def drizzler(monkeypatch: pytest.MonkeyPatch) -> Drizzler:
    stand_in = Drizzler()
    monkeypatch.setattr(drizzling, "drizzle_many", stand_in)
    return stand_in


def changed(settings: Settings, section: str = "drizzle", **values: object) -> Settings:
    part = getattr(settings, section).model_copy(update=values)
    return settings.model_copy(update={section: part})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.drc.fits")}


# ------------------------------------------------------------------------ what is to be made


def test_a_visit_has_a_product_for_each_band(workdir, settings, drizzler) -> None:
    made = make_visit_drizzles(workdir, "isim02", settings)
    assert drizzler.asked == ["isim02.wfc3_uvis.f606w", "isim02.wfc3_uvis.f814w"]
    assert names(workdir.workspace) == {
        "isim02.wfc3_uvis.f606w.drc.fits",
        "isim02.wfc3_uvis.f814w.drc.fits",
    }
    assert made.facts["n_products"] == 2


def test_a_target_has_a_stack_for_each_epoch_and_each_filter(workdir, settings, drizzler) -> None:
    made = make_stacks(workdir, settings)
    assert names(workdir.drizzle) == EPOCHS | FILTERS
    assert made.facts["n_products"] == 5
    assert made.facts["n_exposures"] == 5


def test_the_outlines_of_the_exposures_belong_to_the_index(workdir, settings, drizzler) -> None:
    visit = make_visit_drizzles(workdir, "isim02", settings)
    stacks = make_stacks(workdir, settings)
    for made, regions, n_exposures in (
        (visit, workdir.visit_footprints("isim02"), 2),
        (stacks, workdir.target_footprints, 5),
    ):
        assert regions in made.record.paths(workdir)
        assert regions.read_text().count("polygon(") == n_exposures
    regions.unlink()
    assert make_stacks(workdir, settings).ran
    assert regions.is_file()


def test_the_index_tells_about_each_product(workdir, settings, drizzler) -> None:
    make_stacks(workdir, settings)
    table = read_table(workdir.stack_products)
    whole = table[table["file"] == "drizzle/wfc3_uvis.f606w.all.drc.fits"][0]
    assert whole["n_exposures"] == 4
    assert whole["exptime"].to_value("s") == 1200.0
    assert whole["scale"].to_value("arcsec") == 0.04
    assert (whole["ra"].to_value("deg"), whole["dec"].to_value("deg")) == (150.1, 2.2)
    assert whole["flux_ratio"] == 1.002
    assert set(table["status"]) == {"OK"}
    assert sorted(set(table["epoch"])) == [0, 1, 2, 3]
    assert whole["digest"] == read_record(workdir.absolute(whole["file"])).digest


def test_what_an_astronomer_looks_at_first_is_in_the_facts(workdir, settings, drizzler) -> None:
    drizzler.bad_fraction = 0.9
    (first, _) = make_visit_drizzles(workdir, "isim02", settings).facts["products"]
    width, height = map(int, first.pop("size").split("\N{MULTIPLICATION SIGN}"))
    table = read_table(workdir.visit_products("isim02"))
    assert (width, height) == (table["nx"][0].value, table["ny"][0].value)
    assert first == {
        "product": "isim02.wfc3_uvis.f606w.drc.fits",
        "exposures": 1,
        "exptime_s": 300.0,
        "scale_arcsec": 0.04,
        "sky": 0.04,
        "flux_ratio": 1.002,
        "problems": "90.0% of the footprint has no weight",
        "not_checked": "",
    }


def test_the_log_is_of_a_product_that_was_drizzled(workdir, settings, drizzler) -> None:
    assert "log" not in make_visit_drizzles(workdir, "isim01", settings).facts
    log = workdir.log("drizzle", "isim02.wfc3_uvis.f814w")
    log.parent.mkdir(exist_ok=True)
    log.write_text("AstroDrizzle")
    made = make_visit_drizzles(workdir, "isim02", settings)
    assert made.facts["log"] == workdir.relative(log)
    assert list(read_table(workdir.visit_products("isim02"))["log"]) == ["", workdir.relative(log)]


def test_products_are_prefixed_with_the_object(workdir, settings, drizzler) -> None:
    make_stacks(workdir, changed(settings, object_name="sn1"))
    assert names(workdir.drizzle) == {f"sn1.{name}" for name in EPOCHS | FILTERS}


def test_exposures_that_are_not_aligned_are_left_out(workdir, settings, drizzler) -> None:
    align_as_is(workdir, "isim01", leave_out=("isim01a1q",))
    make_visit_drizzles(workdir, "isim01", settings)
    assert read_table(workdir.visit_products("isim01"))["n_exposures"][0] == 2


# --------------------------------------------------------------------------- drizzling once


def test_an_epoch_that_is_a_visit_is_not_drizzled_twice(workdir, settings, drizzler) -> None:
    alone = changed(settings, no_mask=True)
    for visit in VISITS:
        make_visit_drizzles(workdir, visit, alone)
    drizzler.forget()
    make_stacks(workdir, alone)
    # Only F606W has two epochs; every other stack is a visit's product.
    assert drizzler.asked == ["wfc3_uvis.f606w.all"]
    stack = workdir.drizzle / "wfc3_uvis.f606w.ut150707_0001.drc.fits"
    assert stack.samefile(workdir.visit_drizzle("isim01", "wfc3_uvis.f606w"))
    index = read_table(workdir.stack_products)
    linked = index[index["file"] == f"drizzle/{stack.name}"]["same_as"][0]
    assert linked == "workspace/isim01.wfc3_uvis.f606w.drc.fits"


def test_a_band_with_one_epoch_is_drizzled_once(workdir, settings, drizzler) -> None:
    make_stacks(workdir, settings)
    assert drizzler.asked.count("wfc3_uvis.f814w.0003") == 1
    assert "wfc3_uvis.f814w.all" not in drizzler.asked
    one, other = (
        workdir.drizzle / "wfc3_uvis.f814w.ut150816_0003.drc.fits",
        workdir.drizzle / "wfc3_uvis.f814w.all.drc.fits",
    )
    assert one.samefile(other)


def test_without_hard_links_products_are_copied(workdir, settings, drizzler, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(batch.os, "link", refuse)
    make_stacks(workdir, settings)
    one, other = (
        workdir.drizzle / "wfc3_uvis.f814w.ut150816_0003.drc.fits",
        workdir.drizzle / "wfc3_uvis.f814w.all.drc.fits",
    )
    assert not one.samefile(other)
    assert one.read_bytes() == other.read_bytes()


# ------------------------------------------------- others that tell cosmic rays from stars


def others(workdir: WorkDir, product: Path) -> set[str]:
    record = read_record(product)
    return {
        name.removeprefix("other:") for name in record.recipe["inputs"] if name.startswith("other:")
    }


def test_one_exposure_is_helped_by_the_others_of_its_visit(workdir, settings, drizzler) -> None:
    make_visit_drizzles(workdir, "isim02", settings)
    assert others(workdir, workdir.visit_drizzle("isim02", "wfc3_uvis.f606w")) == {"isim02a1q"}
    assert others(workdir, workdir.visit_drizzle("isim02", "wfc3_uvis.f814w")) == {"isim02a0q"}
    assert drizzler.helpers["isim02.wfc3_uvis.f606w"] == ["isim02a1q_flc.fits"]


def test_three_exposures_need_no_help(workdir, settings, drizzler) -> None:
    make_visit_drizzles(workdir, "isim01", settings)
    assert others(workdir, workdir.visit_drizzle("isim01", "wfc3_uvis.f606w")) == set()


def test_what_is_new_since_another_visit_is_never_compared_with_it(
    workdir, settings, drizzler
) -> None:
    make_stacks(workdir, settings)
    stack = workdir.drizzle / "wfc3_uvis.f814w.all.drc.fits"
    assert others(workdir, stack) == {"isim02a0q"}


def test_help_can_be_refused(workdir, settings, drizzler) -> None:
    make_visit_drizzles(workdir, "isim02", settings)
    drizzler.forget()
    make_visit_drizzles(workdir, "isim02", changed(settings, no_mask=True))
    assert set(drizzler.helpers) == {"isim02.wfc3_uvis.f606w", "isim02.wfc3_uvis.f814w"}
    assert not any(drizzler.helpers.values())


def test_a_new_alignment_of_a_helper_drizzles_again(workdir, settings, drizzler) -> None:
    make_visit_drizzles(workdir, "isim02", settings)
    drizzler.forget()
    table = QTable.read(workdir.visit_alignment("isim02"), format="ascii.ecsv")
    table["digest"][table["rootname"] == "isim02a1q"] = "f" * 64
    table.write(workdir.visit_alignment("isim02"), format="ascii.ecsv", overwrite=True)
    make_visit_drizzles(workdir, "isim02", settings)
    assert drizzler.asked == ["isim02.wfc3_uvis.f606w", "isim02.wfc3_uvis.f814w"]


def exposure(
    rootname: str, mjd: float, *, detector_key: str = "acs_wfc", ra: float = 10.0
) -> AlignedExposure:
    outline = f"POLYGON ICRS {ra} 0.0 {ra + 0.05} 0.0 {ra + 0.05} 0.05 {ra} 0.05"
    return AlignedExposure(rootname, "", detector_key, "F606W", 300.0, mjd, 1, "d", outline)


def helpers(one: AlignedExposure, *pool: AlignedExposure) -> list[str]:
    return [other.rootname for other in others_of([one], [one, *pool])]


def test_helpers_see_the_same_sky_with_the_same_detector() -> None:
    one = exposure("jaaa01a1q", 1.0)
    inside, beside = exposure("jaaa01a2q", 2.0, ra=10.02), exposure("jaaa01a3q", 2.0, ra=10.2)
    other = exposure("jaaa01a4q", 2.0, detector_key="acs_hrc")
    assert helpers(one, inside, beside, other) == ["jaaa01a2q"]


def test_helpers_are_the_nearest_in_time() -> None:
    one = exposure("jaaa01a1q", 100.0)
    pool = [exposure(f"jaaa01a{n}q", 100.0 + 3 * n) for n in range(2, 10)]
    assert helpers(one, *reversed(pool)) == [each.rootname for each in pool[:MOST_OTHERS]]


def test_helpers_are_of_the_same_visit() -> None:
    one, same = (exposure(f"jaaa01a{n}q", 1.0 + n) for n in range(2))
    assert helpers(one, same, exposure("jaaa02a1q", 1.1)) == ["jaaa01a1q"]


def test_exposures_of_two_visits_have_no_help() -> None:
    first, second = exposure("jaaa01a0q", 1.0), exposure("jaaa02a0q", 40.0)
    assert others_of([first, second], [first, second, exposure("jaaa01a1q", 1.1)]) == ()


def test_the_infrared_has_no_cosmic_rays_to_tell() -> None:
    one, other = (exposure(f"iaaa01a{n}q", 1.0, detector_key="wfc3_ir") for n in range(2))
    assert helpers(one, other) == []


# ---------------------------------------------------------------------- size, scale, frame


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"scale_arcsec": 0.05}, {"scale_arcsec": 0.05}),
        ({"size_pix": 400}, {"nx": 400, "ny": 400, "crpix1": 201, "crpix2": 201}),
    ],
)
def test_products_have_the_scale_and_size_asked_for(
    workdir, settings, drizzler, values, expected
) -> None:
    make_visit_drizzles(workdir, "isim01", changed(settings, **values))
    facts = read_record(workdir.visit_drizzle("isim01", "wfc3_uvis.f606w")).facts
    assert {name: facts[name] for name in expected} == expected


def test_a_larger_scale_makes_a_smaller_frame(workdir, settings, drizzler) -> None:
    product = workdir.visit_drizzle("isim01", "wfc3_uvis.f606w")
    make_visit_drizzles(workdir, "isim01", settings)
    fine = read_record(product).facts["nx"]
    make_visit_drizzles(workdir, "isim01", changed(settings, scale_arcsec=0.08))
    assert read_record(product).facts["nx"] == pytest.approx(fine / 2, abs=4)


def test_the_frame_is_about_the_target_or_the_smallest(workdir, settings, drizzler) -> None:
    product = workdir.visit_drizzle("isim01", "wfc3_uvis.f606w")
    make_visit_drizzles(workdir, "isim01", settings)
    centred = read_record(product).facts
    assert (centred["crpix1"] * 2 - 1, centred["crpix2"] * 2 - 1) == (centred["nx"], centred["ny"])
    make_visit_drizzles(workdir, "isim01", changed(settings, frame="minimal"))
    smallest = read_record(product).facts
    assert smallest["nx"] * smallest["ny"] < centred["nx"] * centred["ny"]


# -------------------------------------------------------------------------------- rotation


def test_the_orientation_of_all_products_is_the_references(workdir, settings, drizzler) -> None:
    turned = changed(settings, no_rotation=True)
    workdir.reference_choice.write_text('{"orientation_deg": 33.5}')
    make_visit_drizzles(workdir, "isim02", turned)
    make_stacks(workdir, turned)
    products = [*workdir.workspace.glob("*.drc.fits"), *workdir.drizzle.glob("*.drc.fits")]
    assert len(products) == 2 + 5
    assert {read_record(path).facts["orientation_deg"] for path in products} == {33.5}
    drizzler.forget()
    workdir.reference_choice.write_text('{"orientation_deg": 34.0}')
    make_visit_drizzles(workdir, "isim01", turned)
    assert drizzler.asked == ["isim01.wfc3_uvis.f606w"]


def test_without_a_reference_no_orientation_is_known(workdir, settings, drizzler) -> None:
    with pytest.raises(MissingProduct, match="orientation of the reference"):
        make_stacks(workdir, changed(settings, no_rotation=True))


# ------------------------------------------------------------------------------ skip or run


def test_nothing_changed_nothing_is_done(workdir, settings, drizzler) -> None:
    first = make_stacks(workdir, settings)
    drizzler.forget()
    second = make_stacks(workdir, settings)
    assert drizzler.asked == []
    assert (first.ran, second.ran) == (True, False)
    assert second.facts == first.facts


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("drizzle", {"pixfrac": 0.7}),
        ("drizzle", {"scale_arcsec": 0.05}),
        ("drizzle", {"size_pix": 400}),
        ("drizzle", {"frame": "minimal"}),
        ("drizzle", {"fix_zero_point": 25.0}),
        ("drizzle", {"parameters": {"wfc3_uvis": {"2-6": {"driz_cr_grow": 2}}}}),
        ("drizzle", {"units": "counts"}),
        ("drizzle", {"kernel": "gaussian"}),
        ("drizzle", {"sky_sub": False}),
        ("drizzle", {"sky_level": {"wfc3_uvis.f606w": 0.05}}),
        ("drizzle", {"weight_type": "IVM"}),
        ("drizzle", {"combine_type": "median"}),
        ("target", {"ra_deg": 150.1001}),
    ],
)
def test_a_setting_that_matters_drizzles_again(
    workdir, settings, drizzler, section, values
) -> None:
    make_visit_drizzles(workdir, "isim01", settings)
    drizzler.forget()
    assert make_visit_drizzles(workdir, "isim01", changed(settings, section, **values)).ran
    assert drizzler.asked == ["isim01.wfc3_uvis.f606w"]


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("machine", {"max_cores": 1}),
        ("machine", {"tool_timeout_s": 77.0}),
        ("drizzle", {"keep_artifacts": True}),
        ("drizzle", {"combine_type": "minmed"}),  # spells out the default for three exposures
        ("drizzle", {"scale_arcsec": 0.04}),
        ("drizzle", {"parameters": {"all": {"driz_cr_grow": 1}}}),
        ("drizzle", {"parameters": {"wfc3_ir": {"driz_cr_grow": 2}}}),
        ("drizzle", {"parameters_file": Path("elsewhere.toml")}),  # not where, but what
        ("drizzle", {"sky_level": {"wfc3_uvis.f814w": 0.05, "isim99a1q": 0.05}}),
        ("alignment", {"threshold_sigma": 5.0}),
        ("gate", {"min_matches": 5}),
    ],
)
def test_a_setting_that_does_not_matter_changes_nothing(
    workdir, settings, drizzler, section, values
) -> None:
    make_visit_drizzles(workdir, "isim01", settings)
    drizzler.forget()
    assert not make_visit_drizzles(workdir, "isim01", changed(settings, section, **values)).ran
    assert drizzler.asked == []


def test_a_sky_level_of_nothing_that_is_combined_is_named(
    workdir, settings, drizzler, caplog
) -> None:
    levels = {"wfc3_uvis.f606w": 0.05, "wfc3_uvis.f999w": 0.05, "isim99a1q": 0.05}
    make_stacks(workdir, changed(settings, sky_level=levels))
    assert "no effect for isim99a1q, wfc3_uvis.f999w:" in caplog.text


def test_a_limit_is_judged_anew_without_drizzling(workdir, settings, drizzler) -> None:
    drizzler.bad_fraction = 0.1
    assert make_visit_drizzles(workdir, "isim01", settings).facts["problems"] == []
    drizzler.forget()
    strict = changed(settings, max_bad_fraction=0.05)
    made = make_visit_drizzles(workdir, "isim01", strict)
    assert drizzler.asked == []
    assert "no weight" in made.facts["problems"][0]
    assert read_table(workdir.visit_products("isim01"))["status"][0] == "PROBLEM"


def test_redo_drizzles_what_stands(workdir, settings, drizzler) -> None:
    make_visit_drizzles(workdir, "isim01", settings)
    drizzler.forget()
    assert make_visit_drizzles(workdir, "isim01", settings, redo=True).ran
    assert drizzler.asked == ["isim01.wfc3_uvis.f606w"]


def test_a_new_alignment_of_one_band_drizzles_only_that_band(workdir, settings, drizzler) -> None:
    settings = changed(settings, no_mask=True)
    make_visit_drizzles(workdir, "isim02", settings)
    drizzler.forget()
    table = QTable.read(workdir.visit_alignment("isim02"), format="ascii.ecsv")
    table["digest"][table["rootname"] == "isim02a1q"] = "f" * 64
    table.write(workdir.visit_alignment("isim02"), format="ascii.ecsv", overwrite=True)
    make_visit_drizzles(workdir, "isim02", settings)
    assert drizzler.asked == ["isim02.wfc3_uvis.f814w"]


@pytest.mark.parametrize("damage", ["removed", "changed"])
def test_a_product_that_is_not_whole_is_made_again(workdir, settings, drizzler, damage) -> None:
    make_visit_drizzles(workdir, "isim02", settings)
    drizzler.forget()
    product = workdir.visit_drizzle("isim02", "wfc3_uvis.f814w")
    if damage == "removed":
        product.unlink()
    else:
        product.write_text("something else")
    make_visit_drizzles(workdir, "isim02", settings)
    assert drizzler.asked == ["isim02.wfc3_uvis.f814w"]


def test_a_run_that_ended_between_two_products_goes_on(
    workdir, settings, drizzler, monkeypatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr(drizzling, "write_table", die)
        with pytest.raises(KeyboardInterrupt):
            make_visit_drizzles(workdir, "isim02", settings)
    drizzler.forget()
    assert make_visit_drizzles(workdir, "isim02", settings).facts["n_products"] == 2
    assert drizzler.asked == []


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


# ------------------------------------------------------------------------- products no more


def test_products_that_are_no_more_are_deleted_and_foreign_files_stay(
    workdir, settings, drizzler
) -> None:
    make_stacks(workdir, settings)
    foreign = workdir.drizzle / "mine.drc.fits"
    foreign.write_text("not yours")
    align_as_is(workdir, "isim02", leave_out=("isim02a1q",))
    make_stacks(workdir, settings)
    left = {path.name for path in workdir.drizzle.iterdir()}
    assert not [name for name in left if "f814w" in name]
    assert foreign.name in left
    assert EPOCHS & left == {name for name in EPOCHS if "f606w" in name}


# --------------------------------------------------------------------------------- for real


@pytest.mark.slow
def test_visits_and_stacks_for_real(workdir, settings) -> None:
    before = {path: path.read_bytes() for path in workdir.raw.glob("*.fits")}
    blank = workdir.aligned("isim02a1q_flc.fits")
    with fits.open(blank, mode="update") as hdus:
        hdus["SCI"].data[:] = np.nan
    visits = [make_visit_drizzles(workdir, visit, settings) for visit in VISITS]
    assert [made.facts["n_products"] for made in visits] == [1, 1]
    assert "no good pixel" in visits[1].facts["failed"][0]
    stacks = make_stacks(workdir, settings)
    assert stacks.facts["n_products"] == 3  # two epochs and all of F606W
    with fits.open(workdir.drizzle / "wfc3_uvis.f606w.all.drc.fits") as hdus:
        assert hdus[0].header["NINPUT"] == 4
        assert hdus[0].header["EXPTIME"] == 1200.0
        crpix = [hdus[plane].header["CRPIX1"] for plane in ("SCI", "WHT", "CTX")]
    with fits.open(workdir.visit_drizzle("isim01", "wfc3_uvis.f606w")) as hdus:
        shift = hdus["SCI"].header["CRPIX1"] - crpix[0]
    assert shift == int(shift)  # one grid
    assert len(set(crpix)) == 1
    assert not make_stacks(workdir, settings).ran
    assert {path: path.read_bytes() for path in workdir.raw.glob("*.fits")} == before
    shutil.rmtree(workdir.base / ".hst123_runfiles")  # holds nothing that is needed
    assert not make_visit_drizzles(workdir, "isim01", settings).ran


@pytest.mark.slow
def test_a_disk_that_fills_is_no_verdict_on_the_stacks(workdir, tmp_path) -> None:
    program = "hst_assets_tests.imaging.drizzle_on_full_disk"
    told = json.loads(run_with_own_mounts(program, workdir.root, tmp_path / "disk"))
    assert told["full"].startswith("DiskFull: ")
    assert "the disk is full" in told["full"]
    assert not told["indexed"]
    assert (told["ran"], told["failed"], told["n_products"]) == (True, [], 5)

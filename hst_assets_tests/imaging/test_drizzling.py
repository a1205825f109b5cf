"""Which products are made, and what is written down about them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.failures import MissingProduct
from hst_assets.imaging.drizzling import make_stacks, make_visit_drizzles
from hst_assets.products import batch
from hst_assets.products.columns import read_table
from hst_assets.provenance import read_record
from hst_assets_tests.imaging.conftest import VISITS, align_as_is
from hst_assets_tests.imaging.stand_in_drizzler import EPOCHS, FILTERS, changed, names
from hst_assets_tests.small_disk import run_with_own_mounts

pytestmark = pytest.mark.xdist_group("imaging")  # shares the simulated campaign


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

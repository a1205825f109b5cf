"""Which products stand, which are made again, and which are taken away."""

from __future__ import annotations

from pathlib import Path

import pytest
from astropy.table import QTable

from hst_assets.imaging import drizzling
from hst_assets.imaging.drizzling import make_stacks, make_visit_drizzles
from hst_assets.products.columns import read_table
from hst_assets_tests.imaging.conftest import align_as_is
from hst_assets_tests.imaging.stand_in_drizzler import EPOCHS, changed

pytestmark = pytest.mark.xdist_group("imaging")  # shares the simulated campaign


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

"""Exposures that tell the cosmic rays of others from stars."""

from __future__ import annotations

from pathlib import Path

import pytest
from astropy.table import QTable

from hst_assets.imaging.cosmic_rays import MOST_OTHERS
from hst_assets.imaging.drizzling import make_stacks, make_visit_drizzles
from hst_assets.imaging.plan import AlignedExposure, others_of
from hst_assets.provenance import read_record
from hst_assets.workdir import WorkDir
from hst_assets_tests.imaging.stand_in_drizzler import changed

pytestmark = pytest.mark.xdist_group("imaging")  # shares the simulated campaign


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

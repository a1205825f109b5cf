"""Cosmic rays of single exposures against the simulator's truth."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.detectors import DETECTORS, Detector
from hst_assets.exposures.dq_files import quality_file
from hst_assets.imaging import cosmic_rays as module
from hst_assets.imaging.cosmic_rays import (
    FLAG,
    Chip,
    cosmic_rays,
    flag_cosmic_rays,
    read_chips,
    science_and_quality,
)
from hst_assets.simulate.campaign import CampaignPlan, exposure_plans
from hst_assets.simulate.exposure import RenderedExposure, render_exposure
from hst_assets.simulate.plans import small_plan
from hst_assets.simulate.scene import make_scene
from hst_assets_tests.simulated_once import SimulatedOnce

pytestmark = pytest.mark.xdist_group("cosmic_rays")

#: Hits this far above the noise count, and pixels this near a star's centre are its core.
VISIBLE_SIGMA = 5.0
CORE_PIX = 1.5


def chips_of(path: Path, detector: Detector) -> list[Chip]:
    with (
        fits.open(path, memmap=False) as hdus,
        fits.open(quality_file(path), memmap=False) as other,
    ):
        quality = other if detector.has_separate_dq else hdus
        flags = [np.array(dq.data) for _, dq in science_and_quality(hdus, quality)]
        return read_chips(hdus, flags, detector)


@dataclass(frozen=True)
class Sky:
    """Two exposures of a field in each of two filters, and what the first was rendered from."""

    detector: Detector
    files: list[Path]
    chips: list[list[Chip]]
    rendered: RenderedExposure

    def shares(self, found: list[np.ndarray]) -> tuple[float, float]:
        """Shares of the visible cosmic-ray pixels and of the pixels in stars' cores in `found`."""
        hits = cores = found_hits = found_cores = 0
        for index, (chip, mask) in enumerate(zip(self.chips[0], found, strict=True)):
            truth = self.rendered.chips[index].readout.cosmic_rays
            y, x = np.nonzero(truth & chip.good)
            visible = chip.rate[y, x] - module._background(chip, x, y) > VISIBLE_SIGMA * chip.noise
            hits += int(visible.sum())
            found_hits += int(mask[y[visible], x[visible]].sum())
            core = self._cores(index, chip) & chip.good & ~truth
            cores += int(core.sum())
            found_cores += int((mask & core).sum())
        assert hits > 500
        assert cores > 500
        return found_hits / hits, found_cores / cores

    def _cores(self, index: int, chip: Chip) -> np.ndarray:
        stars = self.rendered.stars
        stars = stars[~stars["saturated"] & (stars["spoiled"] == 0)]
        stars = stars[stars["chip"] == self.rendered.chips[index].view.extver]
        core = np.zeros(chip.rate.shape, bool)
        for x, y in zip(stars["x"], stars["y"], strict=True):
            column, row = round(x), round(y)
            for iy in range(max(row - 2, 0), min(row + 3, core.shape[0])):
                for ix in range(max(column - 2, 0), min(column + 3, core.shape[1])):
                    core[iy, ix] |= np.hypot(ix - x, iy - y) < CORE_PIX
        return core


def plan_of(key: str, filters: tuple[str, ...]) -> CampaignPlan:
    """Exposures a tenth of a pixel apart."""
    plan = small_plan(key, filters=filters, n_exposures=2, pointing_error_arcsec=(0.0, 0.0))
    (visit,) = plan.visits
    jitter_arcsec = 0.1 * DETECTORS[key].pixel_scale_arcsec
    return replace(plan, visits=(replace(visit, jitter_arcsec=jitter_arcsec),))


def simulate(key: str, filters: tuple[str, ...], simulated: SimulatedOnce) -> Sky:
    detector, plan = DETECTORS[key], plan_of(key, filters)
    scene = make_scene(plan.scene, plan.ra_deg, plan.dec_deg, seed=plan.seed)
    files = simulated(plan).science_files()
    rendered = render_exposure(exposure_plans(plan)[0], scene, None)
    return Sky(detector, files, [chips_of(path, detector) for path in files], rendered)


@pytest.fixture(scope="module")
def uvis(simulated: SimulatedOnce) -> Sky:
    """In the ultraviolet and the red, 0.1 pixel apart."""
    return simulate("wfc3_uvis", ("F606W", "F336W"), simulated)


def found_with(sky: Sky, others: list[list[Chip]]) -> list[np.ndarray]:
    return [cosmic_rays(chip, others, sky.detector) for chip in sky.chips[0]]


def test_cosmic_rays_are_found_and_stars_are_left_alone(uvis: Sky) -> None:
    """By exposures in another filter alone; what is missed lies on stars."""
    removed, lost = uvis.shares(found_with(uvis, uvis.chips[2:]))
    assert removed > 0.9
    assert lost < 0.001


def test_one_other_exposure_helps_as_well(uvis: Sky) -> None:
    removed, lost = uvis.shares(found_with(uvis, uvis.chips[2:3]))
    assert removed > 0.85  # where it has a cosmic ray itself, it tells nothing
    assert lost < 0.001


def test_without_others_stars_would_be_lost(uvis: Sky) -> None:
    """What the help is for: L.A.Cosmic alone takes the cores of stars."""
    alone = [module._suspected(chip, uvis.detector) for chip in uvis.chips[0]]
    _, lost = uvis.shares(alone)
    assert lost > 0.005


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "filters"),
    [
        ("acs_wfc", ("F606W", "F435W")),
        ("acs_hrc", ("F606W", "F814W")),
        ("wfpc2", ("F606W", "F814W")),
    ],
)
def test_so_it_is_with_every_ccd(
    key: str, filters: tuple[str, ...], simulated: SimulatedOnce
) -> None:
    sky = simulate(key, filters, simulated)
    removed, lost = sky.shares(found_with(sky, sky.chips[2:]))
    assert removed > 0.9
    assert lost < 0.001


def test_where_no_other_exposure_looks_nothing_is_found(uvis: Sky) -> None:
    assert not any(mask.any() for mask in found_with(uvis, []))
    elsewhere = []
    for chip in uvis.chips[2]:
        wcs = chip.wcs.deepcopy()
        wcs.wcs.crval = [wcs.wcs.crval[0], wcs.wcs.crval[1] + 1.0]
        elsewhere.append(replace(chip, wcs=wcs))
    assert not any(mask.any() for mask in found_with(uvis, [elsewhere]))


def test_other_exposures_without_a_good_pixel_are_as_none(uvis: Sky) -> None:
    blind = [replace(chip, good=np.zeros_like(chip.good)) for chip in uvis.chips[2]]
    assert not any(mask.any() for mask in found_with(uvis, [blind]))


# ------------------------------------------------------------------------------- the files


def copies_of(sky: Sky, folder: Path) -> list[Path]:
    return [Path(shutil.copy(path, folder)) for path in sky.files[:1]]


def pairs(paths: list[Path]) -> list[list[str]]:
    return [[str(path), str(quality_file(path))] for path in paths]


def test_flags_are_set_on_the_copies_only(uvis: Sky, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in uvis.files}
    (copy,) = copies_of(uvis, tmp_path)
    assert flag_cosmic_rays([copy], pairs(uvis.files[2:]), uvis.detector) == []
    (expected,) = found_with(uvis, uvis.chips[2:])
    with fits.open(copy) as hdus, fits.open(uvis.files[0]) as original:
        assert np.array_equal(hdus["DQ"].data & FLAG > 0, expected)
        assert np.array_equal(hdus["DQ"].data & ~FLAG, original["DQ"].data)
        assert np.array_equal(hdus["SCI"].data, original["SCI"].data)
    assert {path: path.read_bytes() for path in uvis.files} == before


def test_an_exposure_that_cannot_help_is_named_and_does_no_harm(uvis: Sky, tmp_path: Path) -> None:
    broken = tmp_path / "broken_flc.fits"
    broken.write_bytes(uvis.files[2].read_bytes()[:400_000])
    folder = tmp_path / "copies"
    folder.mkdir()
    (copy,) = copies_of(uvis, folder)
    (complaint,) = flag_cosmic_rays([copy], pairs([broken, uvis.files[3]]), uvis.detector)
    assert complaint.startswith("broken_flc.fits could not be used to reject cosmic rays")
    with fits.open(copy) as hdus:
        assert np.count_nonzero(hdus["DQ"].data & FLAG) > 500


def test_an_exposure_without_an_image_cannot_help(uvis: Sky, tmp_path: Path) -> None:
    empty = tmp_path / "empty_flc.fits"
    with fits.open(uvis.files[2]) as hdus:
        hdus["SCI"].data = None
        hdus.writeto(empty)
    (copy,) = copies_of(uvis, tmp_path)
    (complaint,) = flag_cosmic_rays([copy], pairs([empty]), uvis.detector)
    assert complaint.startswith("empty_flc.fits could not be used to reject cosmic rays")


def test_the_flag_is_bad_for_every_detector() -> None:
    assert not any(row.drizzle_good_bits & FLAG for row in DETECTORS.values())
    assert all(row.dq_cosmic_ray & FLAG for row in DETECTORS.values())


@pytest.mark.slow
def test_a_wfpc2_exposure_is_flagged_in_its_own_dq_file(
    simulated: SimulatedOnce, tmp_path: Path
) -> None:
    first, second, *_ = simulated(plan_of("wfpc2", ("F606W", "F814W"))).science_files()
    folder = tmp_path / "copies"
    folder.mkdir()
    copy = Path(shutil.copy(first, folder))
    shutil.copy(quality_file(first), folder)
    flag_cosmic_rays([copy], pairs([second]), DETECTORS["wfpc2"])
    assert copy.read_bytes() == first.read_bytes()
    with fits.open(quality_file(copy)) as hdus:
        counts = [np.count_nonzero(hdu.data & FLAG) for hdu in hdus if hdu.data is not None]
    assert len(counts) == 4
    assert min(counts) > 50

"""A reference without the transient, from exposures of another time (with the real tools)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import mad_std
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.astrometry.reference.image import make_reference
from hst_assets.imaging.plan import orientation_of_target
from hst_assets.provenance import Made, sha256_of_file
from hst_assets.settings import MachineSettings, Settings
from hst_assets.simulate.campaign import Transient, simulate_campaign
from hst_assets.simulate.plans import DEMO_MJD, small_plan
from hst_assets.workdir import WorkDir
from hst_assets_tests.astrometry.conftest import prepare

pytestmark = pytest.mark.slow

EAST, NORTH = 2.0, -1.5
HALF_PIX = 30
HERE = (150.1 + EAST / 3600 / np.cos(np.radians(2.2)), 2.2 + NORTH / 3600)
MASK = f"{HERE[0]:.7f}, {HERE[1]:.7f}"


@dataclass
class Target:
    """Three exposures with a transient of 20 mag; forty days later one without it."""

    workdir: WorkDir
    raw: dict[str, str]

    def reference(self, **drizzle: object) -> tuple[Made, Image]:
        settings = Settings.model_validate(
            {"target": {"ra_deg": 150.1, "dec_deg": 2.2}, "drizzle": drizzle}
        ).model_copy(update={"machine": MachineSettings(max_cores=2)})
        made = make_reference(self.workdir, settings)
        with fits.open(self.workdir.absolute(made.facts["image"])) as hdus:
            data, weight = np.array(hdus["SCI"].data), np.array(hdus["WHT"].data)
            x, y = WCS(hdus["SCI"].header).all_world2pix(*HERE, 0)
            return made, Image(data, weight, round(float(x)), round(float(y)))


@dataclass
class Image:
    """A reference, and the pixel on which the transient lies."""

    data: NDArray[np.float32]
    weight: NDArray[np.float32]
    x: int
    y: int

    def around(self, plane: NDArray[np.float32], half: int) -> NDArray[np.float32]:
        return plane[self.y - half : self.y + half + 1, self.x - half : self.x + half + 1]

    @property
    def flux(self) -> float:
        box = self.around(self.data, 10)
        return float(np.nansum(box - np.nanmedian(self.around(self.data, 18))))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    folder = tmp_path_factory.mktemp("template")
    plan = small_plan("wfc3_uvis", n_exposures=3, pointing_error_arcsec=(0.05, -0.04))
    (first,) = plan.visits
    later = replace(first, visit="isim02", n_exposures=1, mjd=DEMO_MJD + 40)
    light_curve = ((DEMO_MJD - 5, 20.0), (DEMO_MJD + 5, 20.0))
    plan = replace(
        plan, visits=(first, later), transient=Transient(EAST, NORTH, light_curve, colour=0.0)
    )
    truth = simulate_campaign(plan, folder / "sky", max_cores=2)
    workdir = WorkDir(folder / "root", "field")
    settings = Settings.model_validate({"target": {"ra_deg": 150.1, "dec_deg": 2.2}})
    prepare(workdir, [truth.exposure_folder], settings)
    return Target(workdir, digests(workdir.raw))


def digests(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of_file(path) for path in folder.glob("*.fits")}


def test_added_exposures_fill_the_box_where_the_others_are_masked(target: Target) -> None:
    _, plain = target.reference()
    made, filled = target.reference(
        add=["isim02a0q"], mask=MASK, mask_half_size_pix=HALF_PIX, keep_artifacts=False
    )
    assert made.facts["n_used"] == 4
    assert plain.flux > 50  # electrons a second: a star of 20 mag has some 300
    assert abs(filled.flux) < 0.03 * plain.flux
    # Exposure time in the box: one exposure of 300 s, three around it; 10 %: pixel areas.
    assert np.median(filled.around(filled.weight, 12)) == pytest.approx(300, rel=0.1)
    far = filled.weight[filled.y - 12 : filled.y + 13, filled.x - 100 : filled.x - 75]
    assert np.median(far) == pytest.approx(900, rel=0.1)
    # One level inside and around, to less than the noise of a single pixel.
    noise = mad_std(plain.around(plain.data, 100), ignore_nan=True)
    inside = np.nanmedian(filled.around(filled.data, 20))
    around = np.nanmedian(filled.around(filled.data, 90))
    assert abs(inside - around) < noise
    assert digests(target.workdir.raw) == target.raw


def test_without_added_exposures_the_box_stays_empty(target: Target) -> None:
    _, holed = target.reference(mask=MASK, mask_half_size_pix=HALF_PIX)
    assert not holed.around(holed.weight, 12).any()
    assert np.isnan(holed.around(holed.data, 12)).all()
    assert digests(target.workdir.raw) == target.raw


def test_without_a_mask_added_exposures_go_in_everywhere(target: Target) -> None:
    made, deeper = target.reference(add=["isim02a0q"])
    assert made.facts["n_used"] == 4
    assert np.median(deeper.around(deeper.weight, 60)) == pytest.approx(1200, rel=0.1)


def test_without_rotation_the_reference_lies_as_its_first_exposure(target: Target) -> None:
    made, _ = target.reference(no_rotation=True)
    raw = target.workdir.raw / f"{made.facts['anchor']}_flc.fits"
    stated = fits.getheader(raw, "SCI")["ORIENTAT"]
    image = target.workdir.absolute(made.facts["image"])
    assert abs(stated) > 5
    assert fits.getheader(image, "SCI")["ORIENTAT"] == pytest.approx(stated, abs=1e-3)
    settings = Settings.model_validate({"drizzle": {"no_rotation": True}})
    assert orientation_of_target(target.workdir, settings) == pytest.approx(stated, abs=1e-3)

"""The sky under a galaxy that fills the frame: what is measured, and the user's own level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import mad_std
from astropy.wcs import WCS

from hst_assets.detectors import DETECTORS
from hst_assets.imaging.astrodrizzle.run import DrizzleReport, drizzle_many
from hst_assets.settings import MachineSettings
from hst_assets.simulate.plans import small_plan
from hst_assets.workdir import WorkDir
from hst_assets_tests.imaging.filled_frames import CENTRE, READ_NOISE_E, filled, request_of
from hst_assets_tests.simulated_once import SimulatedOnce

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("filled_frames")]

#: Electrons per second and pixel; of all the time, as the exposures are equally long, 0.12.
SKIES = (0.10, 0.12, 0.14)
SKY, CENTRAL = 0.12, 0.12
FRAME_ARCSEC = 20.5
#: Scale length over the side of the frame, and what is measured for `SKY`: the table of
#: docs/guide/drizzling.md.
MEASURED = {0.05: 0.119, 0.15: 0.129, 0.3: 0.150, 0.5: 0.172}
SCALE = 0.3
BAND = "wfc3_uvis.f606w"


@dataclass(frozen=True)
class Made:
    """Products by their names."""

    reports: dict[str, DrizzleReport]

    def header(self, name: str) -> fits.Header:
        return fits.getheader(self.reports[name].product)

    def light_left(self, name: str, scale: float = SCALE) -> float:
        """Median of the product minus the galaxy as it is."""
        with fits.open(self.reports[name].product) as hdus:
            sci = hdus["SCI"].data
            return float(np.nanmedian(sci - galaxy(hdus["SCI"].header, sci.shape, scale)))


def galaxy(header: fits.Header, shape: tuple[int, ...], scale: float) -> np.ndarray:
    rows, columns = np.indices(shape)
    ra, dec = WCS(header, naxis=2).all_pix2world(columns, rows, 0)
    radius = np.hypot((ra - CENTRE[0]) * np.cos(np.radians(CENTRE[1])), dec - CENTRE[1]) * 3600.0
    # The product's pixel has the size of the native one to which the counts refer.
    area = (DETECTORS["wfc3_uvis"].drizzle_scale_arcsec / native_scale()) ** 2
    return CENTRAL * area * np.exp(-radius / (scale * FRAME_ARCSEC))


def native_scale() -> float:
    return DETECTORS["wfc3_uvis"].pixel_scale_arcsec


@pytest.fixture(scope="module")
def made(simulated: SimulatedOnce, tmp_path_factory: pytest.TempPathFactory) -> Made:
    truth = simulated(small_plan("wfc3_uvis", n_exposures=3))
    templates = sorted(truth.exposure_folder.glob("*_flc.fits"))
    folder = tmp_path_factory.mktemp("filled")

    def taken(name: str, scale: float, skies: tuple[float, ...]) -> list[Path]:
        return filled(
            templates,
            folder / name,
            skies=skies,
            central=CENTRAL,
            scale_arcsec=scale * FRAME_ARCSEC,
        )

    exposures = taken("one", SCALE, SKIES)
    rootnames = [path.name.split("_")[0] for path in exposures]
    given: dict[str, Mapping[str, Any]] = {
        "measured": {},
        "band": {"sky_level": {BAND: SKY}},
        "band.astrodrizzle": {"sky_level": {BAND: SKY}, "engine": "astrodrizzle"},
        "first": {"sky_level": {rootnames[0]: SKIES[0], BAND: 0.9}},
        "each": {"sky_level": dict(zip(rootnames, SKIES, strict=True))},
        "other": {"sky_level": {"wfc3_uvis.f814w": SKY, "iaaa99a9q": SKY}},
    }
    requests = {
        name: request_of(exposures, "wfc3_uvis", name, settings) for name, settings in given.items()
    }
    for scale in MEASURED:
        paths = taken(f"scale{scale}", scale, (SKY,) * 3)
        requests[f"scale{scale}"] = request_of(paths, "wfc3_uvis", "measured", {})
    workdir = WorkDir(folder, "field").create()
    machine = MachineSettings(max_cores=2, tool_timeout_s=300)
    reports = drizzle_many(list(requests.values()), workdir=workdir, machine=machine)
    for report in reports:
        assert isinstance(report, DrizzleReport), report
    return Made(dict(zip(requests, reports, strict=True)))


@pytest.mark.parametrize("scale", MEASURED)
def test_what_is_measured_for_the_sky_is_as_stated(made: Made, scale: float) -> None:
    # Two per cent: the mode of 260,000 pixels from histograms.
    assert made.reports[f"scale{scale}"].sky_per_s == pytest.approx(MEASURED[scale], rel=0.02)


def test_too_much_sky_is_missing_from_the_galaxy(made: Made) -> None:
    taken = made.reports["measured"].sky_per_s
    assert taken is not None
    assert taken > 1.2 * SKY
    assert made.light_left("measured") == pytest.approx(SKY - taken, abs=0.002)


@pytest.mark.parametrize("name", ["band", "band.astrodrizzle", "first", "each"])
def test_with_the_users_level_the_galaxys_light_is_right(made: Made, name: str) -> None:
    # 0.002: the error of the differences between exposures as they are measured.
    assert made.light_left(name) == pytest.approx(0.0, abs=0.002)
    assert made.header(name)["SKYMEAN"] == pytest.approx(SKY, abs=0.002)


@pytest.mark.parametrize("name", ["band", "band.astrodrizzle"])
def test_the_bands_level_is_the_mean_of_what_was_subtracted(made: Made, name: str) -> None:
    assert made.header(name)["SKYMEAN"] == pytest.approx(SKY, abs=1e-6)
    assert made.reports[name].sky_per_s == pytest.approx(SKY, abs=1e-6)
    assert made.header(name)["D_SKYLEV"] == BAND


def test_the_engines_subtract_the_same(made: Made) -> None:
    ours, theirs = (
        fits.getdata(made.reports[n].product, "SCI") for n in ("band", "band.astrodrizzle")
    )
    assert np.nanmax(np.abs(ours - theirs)) < 1e-5


def test_differences_between_exposures_stay_as_measured(made: Made) -> None:
    variances = [made.header("band")[f"D00{n}BVAR"] for n in (1, 2, 3)]
    measured = [made.header("measured")[f"D00{n}BVAR"] for n in (1, 2, 3)]
    assert np.diff(variances) == pytest.approx(np.diff(measured), abs=1e-3)


def test_each_exposures_own_level_is_in_the_noise(made: Made) -> None:
    """Sky of 300 s, the dark current of the header, and the header's read noise."""
    header = made.header("each")
    rest = header["DARKCUR"] * 300.0 + header["RDNOISE"] ** 2
    for number, sky in enumerate(SKIES, start=1):
        assert header[f"D00{number}BVAR"] - rest == pytest.approx(sky * 300.0, abs=0.01)
    assert header["D_SKYLEV"] == "3 OF 3 EXPOSURES"
    assert made.header("first")["D_SKYLEV"] == "1 OF 3 EXPOSURES"


def test_errors_are_those_of_sky_and_galaxy(made: Made) -> None:
    """The pixels scatter about the galaxy as ERR says, once it is brought to single pixels."""
    with fits.open(made.reports["band"].product) as hdus:
        sci, error = hdus["SCI"].data, hdus["ERR"].data
        left = (sci - galaxy(hdus["SCI"].header, sci.shape, SCALE)) / error
        scatter = mad_std(left, ignore_nan=True) * hdus[0].header["NOISCORR"]
        assert abs(hdus[0].header["RDNOISE"] - READ_NOISE_E) < 0.2
    assert scatter == pytest.approx(1.0, abs=0.1)


def test_levels_of_others_change_nothing(made: Made) -> None:
    same, measured = (fits.open(made.reports[name].product) for name in ("other", "measured"))
    with same, measured:
        assert np.array_equal(same["SCI"].data, measured["SCI"].data, equal_nan=True)
        assert "D_SKYLEV" not in same[0].header

"""Stacks and differences of exposures that another simulation made on real headers.

Two epochs of one field for UVIS, IR and HRC: unequal exposure times and skies, post-flash in some,
a turn between the epochs, cosmic rays, the bad pixels of the real detectors. The alignment is
exact. Nothing but the noise may be left, and no status may say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import mad_std
from astropy.wcs import WCS
from photutils.aperture import CircularAperture, aperture_photometry
from scipy.ndimage import binary_opening, distance_transform_edt

from hst_assets.detectors import DETECTORS
from hst_assets.imaging.astrodrizzle.run import DrizzleReport, DrizzleRequest, drizzle_many
from hst_assets.imaging.correlated_noise import circular_aperture_factor
from hst_assets.imaging.differences.batch import judge_difference
from hst_assets.imaging.differences.subtraction import Difference, read_stack, subtract
from hst_assets.imaging.frames import Frame, covering_frame
from hst_assets.imaging.product_flags import ProductFlag
from hst_assets.settings import DrizzleSettings, MachineSettings
from hst_assets.workdir import WorkDir
from hst_assets_tests.independent_exposures import CAMERAS, REAL, Shot, Star, expose

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_data,
    pytest.mark.xdist_group("independent"),
    pytest.mark.skipif(not REAL.is_dir(), reason=f"no headers of real exposures in {REAL}"),
]

CENTRE = (150.1, 2.2)
STAR_ARCSEC = {"wfc3_uvis": 0.6, "wfc3_ir": 1.2, "acs_hrc": 0.5}
#: (seconds, sky, post-flash) of each exposure of the two epochs.
EPOCHS: dict[str, tuple[list[tuple[float, float, float]], ...]] = {
    "wfc3_uvis": (
        [(120, 0.04, 12), (400, 0.05, 12), (400, 0.09, 12), (350, 0.05, 0)],
        [(300, 0.06, 12), (300, 0.05, 12), (80, 0.05, 12)],
    ),
    "wfc3_ir": (
        [(502.9, 1.0, 0), (702.9, 1.1, 0), (252.9, 1.6, 0), (702.9, 1.0, 0)],
        [(602.9, 0.05, 0), (602.9, 0.05, 0), (602.9, 0.1, 0)],  # the reads decide, not the sky
    ),
    "acs_hrc": (
        [(60, 0.02, 0), (300, 0.03, 0), (300, 0.02, 0), (240, 0.05, 0)],
        [(300, 0.02, 0), (200, 0.04, 0), (300, 0.02, 0)],
    ),
}
#: Sub-pixel positions, native pixels.
DITHER = ((0.0, 0.0), (5.3, 2.6), (-3.4, 4.7), (2.5, -4.3))


@dataclass(frozen=True)
class Field:
    """What one detector saw."""

    key: str
    stars: list[Star]
    reports: list[DrizzleReport]
    frame: Frame
    difference: Difference | None

    def planes(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, fits.Header]:
        with fits.open(self.reports[epoch].product) as hdus:
            sci, error, flags = (np.array(hdus[name].data) for name in ("SCI", "ERR", "DQ"))
            return sci, error, flags, hdus[0].header

    def near_star(self, wcs: WCS, shape: tuple[int, int]) -> np.ndarray:
        rows, columns = np.indices(shape)
        near = np.zeros(shape, bool)
        scale = self.frame.scale_arcsec
        for x, y in zip(*wcs.all_world2pix(*self.places(), 0), strict=True):
            near |= np.hypot(columns - x, rows - y) * scale < STAR_ARCSEC[self.key]
        return near

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        east, north, _ = (np.array(values) for values in zip(*self.stars, strict=True))
        dec = CENTRE[1] + north / 3600.0
        return CENTRE[0] + east / 3600.0 / np.cos(np.radians(dec)), dec


def stars_of(key: str) -> list[Star]:
    """On a loose grid, so that none is crowded; in electrons per second."""
    rng = np.random.default_rng(11)
    reach = 0.4 * CAMERAS[key].side * DETECTORS[key].pixel_scale_arcsec
    places = np.linspace(-reach, reach, 5)
    return [
        (
            float(east + rng.uniform(-0.3, 0.3)),
            float(north + rng.uniform(-0.3, 0.3)),
            float(10 ** rng.uniform(1.5, 2.6)),
        )
        for east in places
        for north in places
    ]


def taken(key: str, folder: Path) -> list[list[Path]]:
    camera, native = CAMERAS[key], DETECTORS[key].pixel_scale_arcsec
    folder.mkdir()
    letter = {"wfc3_uvis": "i", "wfc3_ir": "i", "acs_hrc": "j"}[key]
    made = []
    for epoch, exposures in enumerate(EPOCHS[key]):
        paths = []
        for number, (seconds, sky, flash) in enumerate(exposures):
            shot = Shot(
                f"{letter}aaa0{epoch + 1}a{number}q",
                float(seconds),
                57000.0 + 40 * epoch + 0.01 * number,
                (DITHER[number][0] * native, DITHER[number][1] * native),
                turn_deg=27.0 * epoch,
                sky_e_per_s=sky,
                dark_e_per_s=0.05 if camera.rate else 0.002,
                flash_e=float(flash),
            )
            seed = 100 * epoch + number
            paths.append(expose(camera, shot, stars_of(key), folder, centre_deg=CENTRE, seed=seed))
        made.append(paths)
    return made


def struck(folder: Path) -> list[Path]:
    """Two UVIS exposures full of cosmic rays, with borders in each other."""
    shots = [
        Shot("iaaa03a0q", 300.0, 57090.0, hits_per_s=12.0),
        Shot("iaaa03a1q", 300.0, 57090.1, (1.07, 0.61), hits_per_s=12.0),
    ]
    return [
        expose(
            CAMERAS["wfc3_uvis"],
            shot,
            stars_of("wfc3_uvis")[:1],
            folder,
            centre_deg=CENTRE,
            seed=900 + number,
        )
        for number, shot in enumerate(shots)
    ]


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Field]:
    """All stacks in one go, so that drizzlepac is imported once for each core."""
    folder = tmp_path_factory.mktemp("independent")
    workdir = WorkDir(folder, "field").create()
    requests, frames = [], {}
    for key in CAMERAS:
        detector, epochs = DETECTORS[key], taken(key, folder / key)
        frames[key] = covering_frame(
            [path for paths in epochs for path in paths],
            ra_deg=CENTRE[0],
            dec_deg=CENTRE[1],
            scale_arcsec=detector.drizzle_scale_arcsec,
        )
        for number, paths in enumerate(epochs):
            name = f"{key}.{number}"
            requests.append(
                DrizzleRequest(
                    paths,
                    workdir.drizzle / f"{name}.drc.fits",
                    detector,
                    frames[key],
                    DrizzleSettings(),
                    name,
                )
            )
    paths, uvis = struck(folder), DETECTORS["wfc3_uvis"]
    output = workdir.drizzle / "struck.drc.fits"
    frame = frames["wfc3_uvis"]
    requests.append(DrizzleRequest(paths, output, uvis, frame, DrizzleSettings(), "struck"))
    outcomes = drizzle_many(requests, workdir=workdir, machine=MachineSettings(max_cores=2))
    found = {"struck": Field("wfc3_uvis", [], [outcomes[-1]], frame, None)}
    for index, key in enumerate(CAMERAS):
        reports = outcomes[2 * index : 2 * index + 2]
        assert all(isinstance(report, DrizzleReport) for report in reports), reports
        first, second = (
            read_stack(Path(report.product), frames[key], DETECTORS[key]) for report in reports
        )
        found[key] = Field(key, stars_of(key), reports, frames[key], subtract(second, first))
    return found.__getitem__


def pulls_of_apertures(
    data: np.ndarray, error: np.ndarray, empty: np.ndarray, radius: float, drop_ratio: float
) -> np.ndarray:
    """Sums over errors, in apertures that hold empty pixels alone; none shares a pixel."""
    ny, nx = data.shape
    step = 2 * radius + 1
    y, x = np.mgrid[radius : ny - radius : step, radius : nx - radius : step]
    apertures = CircularAperture(np.column_stack([x.ravel(), y.ravel()]), radius)

    def total(image: np.ndarray) -> np.ndarray:
        return np.array(aperture_photometry(image, apertures)["aperture_sum"])

    whole = total(empty.astype(float)) > 0.999 * apertures.area
    sums = total(np.where(empty, data, 0.0))[whole]
    variance = total(np.where(empty, error, 0.0) ** 2)[whole]
    return sums / np.sqrt(variance) / circular_aperture_factor(drop_ratio, radius)


@pytest.mark.parametrize("key", CAMERAS)
@pytest.mark.parametrize("epoch", [0, 1])
def test_no_stack_is_called_wrong(fields: Callable[[str], Field], key: str, epoch: int) -> None:
    report = fields(key).reports[epoch]
    assert report.problems == ()
    assert report.flux_ratio == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("key", CAMERAS)
def test_no_difference_is_called_wrong(fields: Callable[[str], Field], key: str) -> None:
    figures = fields(key).difference.figures
    x, y = figures.stars.offset_pix
    facts = {
        "noise_ratio": figures.noise_ratio,
        "residual_sky": figures.residual_sky,
        "median_error": figures.median_error,
        "offset_x_pix": x,
        "offset_y_pix": y,
        "flux_ratio": figures.stars.flux_ratio,
    }
    assert judge_difference(facts, max_flux_error=0.05) == []
    assert figures.noise_ratio == pytest.approx(1.0, abs=0.1)
    assert figures.stars.n_stars >= 10


@pytest.mark.parametrize("key", CAMERAS)
@pytest.mark.parametrize("epoch", [0, 1])
def test_empty_pixels_of_stacks_scatter_as_their_errors_say(
    fields: Callable[[str], Field], key: str, epoch: int
) -> None:
    """To 10 %."""
    field = fields(key)
    sci, error, flags, header = field.planes(epoch)
    empty = (flags == 0) & ~field.near_star(field.frame.wcs, sci.shape)
    pulls = sci[empty] / error[empty] * header["NOISCORR"]
    assert empty.sum() > 10_000
    assert mad_std(pulls) == pytest.approx(1.0, abs=0.1)
    assert np.std(pulls[np.abs(pulls - np.median(pulls)) < 5]) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("key", CAMERAS)
@pytest.mark.parametrize("radius", [2.0, 3.0, 4.0, 5.0])
def test_empty_apertures_scatter_as_their_errors_say(
    fields: Callable[[str], Field], key: str, radius: float
) -> None:
    """To 10 %, of both stacks and of their difference together."""
    field = fields(key)
    found = []
    for epoch in (0, 1):
        sci, error, flags, header = field.planes(epoch)
        empty = (flags == 0) & ~field.near_star(field.frame.wcs, sci.shape)
        pulls = pulls_of_apertures(sci, error, empty, radius, header["DROPRAT"])
        found.append(pulls - np.median(pulls))
    difference = field.difference
    empty = difference.flags == 0
    empty &= ~field.near_star(difference.frame.wcs, difference.data.shape)
    ratio = difference.figures.drop_ratio
    found.append(pulls_of_apertures(difference.data, difference.error, empty, radius, ratio))
    pulls = np.concatenate(found)
    assert len(pulls) > 500
    assert mad_std(pulls) == pytest.approx(1.0, abs=0.1)


def star_pulls(field: Field, radius: float, floor: float) -> np.ndarray:
    """Of the constant stars on the difference, in a circle."""
    difference = field.difference
    template, _, _, _ = field.planes(0)
    x, y = difference.frame.wcs.all_world2pix(*field.places(), 0)
    ny, nx = difference.data.shape
    inside = (x > 12) & (x < nx - 13) & (y > 12) & (y < ny - 13)
    places = np.column_stack([x, y])[inside]
    on_template = np.column_stack(field.frame.wcs.all_world2pix(*field.places(), 0))[inside]

    def total(image: np.ndarray, at: np.ndarray) -> np.ndarray:
        return np.array(aperture_photometry(image, CircularAperture(at, radius))["aperture_sum"])

    area = np.pi * radius**2
    whole = total(np.isfinite(difference.error).astype(float), places) > 0.999 * area
    change = total(np.nan_to_num(difference.data), places)[whole]
    error = np.sqrt(total(np.nan_to_num(difference.error) ** 2, places))[whole]
    error *= circular_aperture_factor(difference.figures.drop_ratio, radius)
    flux = total(np.nan_to_num(template), on_template)[whole]
    return change / np.hypot(error, floor * flux)


@pytest.mark.parametrize("radius", [2.0, 3.0, 4.0])
def test_undersampled_stars_scatter_as_errors_and_floor_say(
    fields: Callable[[str], Field], radius: float
) -> None:
    """Without the floor they are far off: the test can fail. Twenty stars fix it to 20 %."""
    field = fields("wfc3_ir")
    floor = field.difference.figures.stars.flux_floor
    assert 0.005 < floor < 0.05
    bare, floored = star_pulls(field, radius, 0.0), star_pulls(field, radius, floor)
    assert len(floored) >= 15
    assert mad_std(bare) > 1.5
    assert mad_std(floored) < 1.3
    assert np.abs(floored).max() < 4


def test_well_sampled_stars_need_little_of_a_floor(fields: Callable[[str], Field]) -> None:
    assert fields("wfc3_uvis").difference.figures.stars.flux_floor < 0.02


def test_cosmic_rays_at_an_exposures_border_are_flagged(fields: Callable[[str], Field]) -> None:
    """Where the other exposure only touches a pixel, nothing shows that it is struck."""
    field = fields("struck")
    sci, error, flags, _ = field.planes(0)
    with fits.open(field.reports[0].product) as hdus:
        ctx = hdus["CTX"].data
    both, flagged = ctx == 3, flags & ProductFlag.ONE_EXPOSURE > 0
    # Beyond the border there are whole areas of one bit or none, not the holes of bad pixels.
    beyond = binary_opening(ctx < 3, np.ones((5, 5), bool))
    near = both & (distance_transform_edt(~beyond) <= 2.0)
    with np.errstate(invalid="ignore"):
        struck_there = near & (sci > 8 * error)
    assert np.count_nonzero(struck_there) >= 10
    assert np.mean(flagged[struck_there]) > 0.75
    assert np.mean(flagged[both]) < 0.1

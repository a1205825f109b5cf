"""The stars of a target: PSFs from its bright stars, then all stars, tile by tile.

Everything that a process reads and leaves is in one folder, so that tiles run side by side, and a
measurement that was interrupted goes on from the tiles that are done. Three rounds: twice the
bright stars are fitted, which gives the PSF of each band and chip (from the prior first, then from
its own stars; one process each) and the shift of each image; then all stars are measured.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.failures import HstAssetsError, UnusableInput
from hst_assets.photometry.psf.aperture_correction import (
    ApertureCorrection,
    combined_correction,
    corrections_of_one_psf,
)
from hst_assets.photometry.psf.image_shifts import shifted_images
from hst_assets.photometry.psf.measure_parameters import MeasureParameters
from hst_assets.photometry.psf.measured_stars import DAYS_A_YEAR, MeasuredStars
from hst_assets.photometry.psf.measurement_file import KeptImage, MeasurementFile
from hst_assets.photometry.psf.moved_image import shift_of
from hst_assets.photometry.psf.prior_width import of_known_error
from hst_assets.photometry.psf.ray_pixels import joined_rays
from hst_assets.photometry.psf.sky_mesh import SkyMesh
from hst_assets.photometry.psf.spline_psf import SplinePsf
from hst_assets.photometry.psf.tiles import (
    BYTES_A_PIXEL,
    ImageSource,
    Tile,
    memory_gb_of,
    plan_tiles,
)

__all__ = [
    "MeasureParameters",
    "Measurement",
    "Runner",
    "TileStars",
    "in_this_process",
    "measure_target",
]

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
#: Runs a task once for each mapping of arguments and gives the outcomes in any order: index, value.
Runner = Callable[[str, Sequence[Mapping[str, Any]]], Iterator[tuple[int, Any]]]

_FIND = "hst_assets.photometry.psf.tile_task:find_bright_stars"
_FIT_PSF = "hst_assets.photometry.psf.epsf_task:fit_psf"
_MEASURE = "hst_assets.photometry.psf.tile_task:measure_tile"
_PLAN = "plan.pickle"
#: Rounds that make PSF and shifts.
N_ROUNDS = 2
#: Shares of the whole time of each round, measured on 10,000 stars of four images.
_SHARES = (0.15, 0.15, 0.7)
#: CPU seconds of a tile, of a million pixels of its images and a thousand stars: of 1,000 and
#: 10,000 stars on four images of a million pixels. They say which tile is begun first.
_S_OF_PIXELS, _S_OF_STARS = 2.0, 1.0
#: If more of the stars than this share move, it is said.
_FEW_MOVE = 0.05


@dataclass(frozen=True, eq=False)
class Measurement:
    """The input of a tile's process.

    Attributes
    ----------
    sources : sequence of ImageSource
        All images, with their maps by the shifts known so far.
    psfs : mapping of SplinePsf
        By `ImageSource.psf_key`.
    tiles : sequence of Tile
        All tiles.
    parameters : MeasureParameters
        How.
    """

    sources: Sequence[ImageSource]
    psfs: Mapping[str, SplinePsf]
    tiles: Sequence[Tile]
    parameters: MeasureParameters

    def save(self, folder: Path, number: int) -> None:
        """Leave it for the processes of a round."""
        part = folder / f"{_PLAN}.part"
        part.write_bytes(pickle.dumps(self))
        part.replace(folder / f"{number}.{_PLAN}")

    @classmethod
    def load(cls, folder: Path, number: int) -> Measurement:
        """What was left for a round."""
        told: Measurement = pickle.loads((folder / f"{number}.{_PLAN}").read_bytes())  # noqa: S301 - our own file, in our scratch folder
        return told


@dataclass(frozen=True, eq=False)
class TileStars:
    """The stars of a tile, on the images that reach into it.

    Attributes
    ----------
    images : tuple of int
        Indices of the images.
    stars : MeasuredStars
        Of those images only.
    corrections : list of ApertureCorrection
        Of each image, by this tile's stars, be there one only.
    skies : list of SkyMesh
        What was added to the first estimate of each image's sky.
    left_out : list of ndarray of int
        Pixels of each image that cosmic rays hit, or that the fit left out
        (`hst_assets.photometry.psf.ray_pixels`).
    """

    images: tuple[int, ...]
    stars: MeasuredStars
    corrections: list[ApertureCorrection]
    skies: list[SkyMesh] = field(default_factory=list)
    left_out: list[NDArray[np.int64]] = field(default_factory=list)


def in_this_process(task: str, arguments: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Any]]:
    """Run a task for each mapping of arguments, one after the other."""
    module, name = task.split(":")
    function = getattr(import_module(module), name)
    for at, each in enumerate(arguments):
        yield at, function(**each)


def measure_target(
    sources: Sequence[ImageSource],
    priors: Mapping[str, SplinePsf],
    *,
    folder: Path,
    parameters: MeasureParameters | None = None,
    run: Runner = in_this_process,
    progress: Callable[[str, float], None] | None = None,
) -> MeasuredStars:
    """Find and measure all stars of a target.

    Parameters
    ----------
    sources : sequence of ImageSource
        All chips of all exposures.
    priors : mapping of SplinePsf
        By `ImageSource.psf_key`: the PSF to begin with; all of one radius.
    folder : `~pathlib.Path`
        An existing folder. Tiles that are done there are not measured again: it must be of the
        same images and parameters.
    parameters : MeasureParameters, optional
        How.
    run : callable, optional
        Runs tiles and fits of PSFs; by default one after the other in this process.
    progress : callable, optional
        Is told the step and which share of all is done.

    Returns
    -------
    MeasuredStars
        In the order of the tiles; `MeasuredStars.remarks` say how PSFs were made, and
        `MeasuredStars.kept` is what to save for artificial stars and forced photometry.

    Raises
    ------
    UnusableInput
        If no star was found.
    HstAssetsError
        What a tile's process raised.
    """
    parameters = parameters or MeasureParameters()
    say = progress or (lambda step, share: logger.debug("%s %.2f", step, share))
    tiles = plan_tiles(sources, tile_pix=parameters.tile_pix, memory_gb=parameters.tile_memory_gb)
    now = Measurement(sources, priors, tiles, parameters)
    remarks: tuple[str, ...] = ()
    n_stars = [0] * len(tiles)
    for number in range(N_ROUNDS):
        now.save(folder, number)
        steps = _Steps(say, "fitting bright stars", number)
        names = _of_tiles(run, _FIND, now, folder, number, n_stars, steps)
        psfs, remarks = _psfs(run, now, folder, number, names)
        bright = [_load(folder / name) for name in names]
        n_stars = [each.n_found for each in bright]
        shifted, told = shifted_images(now.sources, now.tiles, bright)
        remarks += told
        now = replace(now, sources=shifted, psfs=psfs)
    now.save(folder, N_ROUNDS)
    steps = _Steps(say, "measuring stars", N_ROUNDS)
    names = _of_tiles(run, _MEASURE, now, folder, N_ROUNDS, n_stars, steps)
    measured = [_load(folder / name) for name in names]
    stars = _merged(measured, now, (*remarks, *_too_large(now)))
    return replace(stars, kept=_kept(stars, measured, now))


def _too_large(now: Measurement) -> tuple[str, ...]:
    """What is to be said of tiles that could not be divided far enough."""
    allowed = now.parameters.tile_memory_gb
    needed, n_images = max((memory_gb_of(now.sources, t), len(t.images)) for t in now.tiles)
    if needed <= allowed:
        return ()
    needs = f"the smallest tiles, of {n_images} images, need {needed:.2g} GB each"
    return (f"{needs}, more than embedded.tile_memory_gb ({allowed:g})",)


@dataclass(frozen=True)
class _Steps:
    """Tells the progress of one round."""

    say: Callable[[str, float], None]
    step: str
    number: int

    def __call__(self, share: float) -> None:
        before = sum(_SHARES[: self.number])
        self.say(self.step, before + share * _SHARES[self.number])


def _of_tiles(
    run: Runner,
    task: str,
    now: Measurement,
    folder: Path,
    number: int,
    n_stars: Sequence[int],
    steps: _Steps,
) -> list[str]:
    """Do what is due of a round; the names of what its tiles left.

    The longest are begun first, so that processes do not wait for the last one.
    """
    name = task.rpartition(":")[2]
    arguments: list[dict[str, Any]] = [
        {
            "folder": str(folder),
            "round_number": number,
            "tile_number": at,
            "output": f"{number}.tile{at}.{name}.pickle",
        }
        for at in range(len(now.tiles))
    ]
    pixels = [memory_gb_of(now.sources, tile) / BYTES_A_PIXEL * 1e9 for tile in now.tiles]
    expected = _S_OF_PIXELS * np.array(pixels) / 1e6 + _S_OF_STARS * np.array(n_stars) / 1e3
    longest_first = np.argsort(-expected, kind="stable")
    _run(run, task, [arguments[at] for at in longest_first], folder, steps)
    return [each["output"] for each in arguments]


def _run(
    run: Runner,
    task: str,
    arguments: Sequence[Mapping[str, Any]],
    folder: Path,
    steps: Callable[[float], None] | None = None,
) -> list[str]:
    """Run a task for all arguments whose output is not there; the names of all outputs."""
    names: list[str] = [each["output"] for each in arguments]
    due = [each for each in arguments if not (folder / each["output"]).is_file()]
    steps = steps or (lambda _: None)
    done = len(names) - len(due)
    steps(done / len(names))
    for at, outcome in run(task, due) if due else ():
        if isinstance(outcome, HstAssetsError):
            raise outcome
        if not (folder / due[at]["output"]).is_file():
            raise UnusableInput(f"a process left no {due[at]['output']}", where=folder)
        done += 1
        steps(done / len(names))
    return names


def _load(path: Path) -> Any:
    return pickle.loads(path.read_bytes())  # noqa: S301 - our own file, in our scratch folder


# ------------------------------------------------------------------------------------ PSFs


def _psfs(
    run: Runner, now: Measurement, folder: Path, number: int, of_tiles: Sequence[str]
) -> tuple[dict[str, SplinePsf], tuple[str, ...]]:
    """The PSF of each key from the stars of all tiles, each in a process of its own."""
    if not now.parameters.max_psf_stars:
        psfs = {key: of_known_error(psf) for key, psf in now.psfs.items()}
        return psfs, ("PSFs are not corrected by stars (max_psf_stars is 0)",)
    seen = sorted({at for tile in now.tiles for at in tile.images})
    keys = list(dict.fromkeys(now.sources[at].psf_key for at in seen))
    names = [f"{number}.psf{at}.pickle" for at in range(len(keys))]
    arguments = [
        {
            "folder": str(folder),
            "round_number": number,
            "psf_key": key,
            "of_tiles": list(of_tiles),
            "output": name,
        }
        for key, name in zip(keys, names, strict=True)
    ]
    _run(run, _FIT_PSF, arguments, folder)
    fitted = [_load(folder / name) for name in names]
    psfs = {key: each.psf for key, each in zip(keys, fitted, strict=True)}
    return {**now.psfs, **psfs}, tuple(
        f"{key}: {each.remark}" for key, each in zip(keys, fitted, strict=True)
    )


# --------------------------------------------------------------------------------- the end


def _of_moving(motion_pix_yr: Floats) -> list[str]:
    """What is to be said of stars that move: many do if epochs are not aligned."""
    speed = np.hypot(*motion_pix_yr.T)
    n = np.count_nonzero(speed)
    if n <= _FEW_MOVE * len(speed):
        return []
    how_many = f"{n} of {len(speed)} stars move between epochs"
    how_far = f"by up to {speed.max():.2g} pixels of the reference a year"
    return [f"{how_many}, {how_far}: see whether the epochs are aligned"]


def _merged(
    tiles: Sequence[TileStars], now: Measurement, remarks: tuple[str, ...]
) -> MeasuredStars:
    """The stars of all tiles, on all images."""
    n_images = len(now.sources)
    n = sum(len(tile.stars) for tile in tiles)
    if n == 0:
        raise UnusableInput(
            "no star was found", next_step="Lower embedded.final_snr, or look at the images"
        )
    whole: dict[str, Any] = {
        name: np.full((n_images, n), value, dtype=kind)
        for name, (value, kind) in _OF_IMAGES.items()
    }
    first = 0
    for tile in tiles:
        last = first + len(tile.stars)
        for name, values in whole.items():
            values[list(tile.images), first:last] = getattr(tile.stars, name)
        first = last
    one: dict[str, Any] = {
        name: np.concatenate([getattr(tile.stars, name) for tile in tiles])
        for name in ("x", "y", "x_error", "y_error", "object_type", "motion_pix_yr")
    }
    corrections = _corrections(tiles, now)
    told = _of_moving(one["motion_pix_yr"])
    told += [
        f"{source.name}: {correction.remark}"
        for source, correction in zip(now.sources, corrections, strict=True)
        if correction.remark
    ]
    return MeasuredStars(
        **one,
        **whole,
        image_names=tuple(source.name for source in now.sources),
        aperture_correction_mag=np.array([each.mag for each in corrections]),
        aperture_correction_error_mag=np.array([each.error_mag for each in corrections]),
        remarks=(*remarks, *told),
    )


def _kept(stars: MeasuredStars, tiles: Sequence[TileStars], now: Measurement) -> MeasurementFile:
    """What artificial stars and forced photometry need of all this."""
    skies = [SkyMesh.of_chip(source.shape) for source in now.sources]
    rays: list[list[NDArray[np.int64]]] = [[] for _ in now.sources]
    for tile, found in zip(now.tiles, tiles, strict=True):
        for at, mesh in zip(tile.images, found.skies, strict=True):
            skies[at] = skies[at].joined(mesh)
        for at, pixels in zip(tile.images, found.left_out, strict=True):
            rays[at].append(pixels)
    images = tuple(
        KeptImage(
            name=source.name,
            psf_key=source.psf_key,
            shape=source.shape,
            shift_pix=shift_of(source),
            aperture_correction_mag=float(stars.aperture_correction_mag[at]),
            aperture_correction_error_mag=float(stars.aperture_correction_error_mag[at]),
            sky=skies[at],
            rays=joined_rays(rays[at]),
        )
        for at, source in enumerate(now.sources)
    )
    x, y, counts, only_on, star = _shining(stars, np.array([source.mjd for source in now.sources]))
    return MeasurementFile(
        images=images,
        psfs=dict(now.psfs),
        parameters=now.parameters,
        x=x,
        y=y,
        counts_e=counts,
        remarks=stars.remarks,
        only_on=only_on,
        star=star,
    )


def _shining(
    stars: MeasuredStars, mjd: Floats
) -> tuple[Floats, Floats, Floats, Integers, Integers]:
    """Places, electrons, only images and numbers of the stars; one that moves has a row an image.

    As `MeasurementFile` has them.
    """
    counts = np.where(np.isfinite(stars.counts_error_e), stars.counts_e, 0)
    x, y = [stars.x], [stars.y]
    motion = np.zeros((len(stars), 2)) if stars.motion_pix_yr is None else stars.motion_pix_yr
    moving = motion.any(axis=1)
    there, only_on, star = [counts], [np.full(len(stars), -1)], [np.arange(len(stars))]
    for k, years in enumerate((mjd - mjd.mean()) / DAYS_A_YEAR if moving.any() else ()):
        x.append(stars.x[moving] + motion[moving, 0] * years)
        y.append(stars.y[moving] + motion[moving, 1] * years)
        of_image = np.zeros((len(counts), int(moving.sum())))
        of_image[k] = counts[k, moving]
        there.append(of_image)
        only_on.append(np.full(of_image.shape[1], k))
        star.append(np.flatnonzero(moving))
    kept = np.concatenate([~moving, np.ones(sum(map(len, x)) - len(stars), dtype=bool)])
    return (
        np.concatenate(x)[kept],
        np.concatenate(y)[kept],
        np.concatenate(there, axis=1)[:, kept],
        np.concatenate(only_on)[kept],
        np.concatenate(star)[kept],
    )


def _corrections(tiles: Sequence[TileStars], now: Measurement) -> list[ApertureCorrection]:
    """Of each image; one without stars enough has the mean of its band's others."""
    own = [
        combined_correction(
            [tile.corrections[tile.images.index(index)] for tile in tiles if index in tile.images]
        )
        for index in range(len(now.sources))
    ]
    for key in {source.psf_key for source in now.sources}:
        members = [at for at, source in enumerate(now.sources) if source.psf_key == key]
        together = corrections_of_one_psf([own[at] for at in members])
        for at, correction in zip(members, together, strict=True):
            own[at] = correction
    return [
        each if np.isfinite(each.error_mag) else _of_other_chips(each, source, own, now)
        for each, source in zip(own, now.sources, strict=True)
    ]


def _of_other_chips(
    missing: ApertureCorrection,
    source: ImageSource,
    own: Sequence[ApertureCorrection],
    now: Measurement,
) -> ApertureCorrection:
    """The mean of what was measured on other chips of the band; what is missing if there is none.

    They have a PSF of their own, and nothing of this one is known.
    """
    others = [
        each
        for other, each in zip(now.sources, own, strict=True)
        if other.band == source.band and each.n_stars
    ]
    if not others:
        return missing
    mags = np.array([each.mag for each in others])
    error = np.hypot(mags.std(), np.mean([each.error_mag for each in others]))
    return replace(
        others[0],
        mag=float(mags.mean()),
        error_mag=float(error),
        n_stars=0,
        remark=f"{missing.remark}; the mean of {len(others)} other images of its band is taken",
    )


#: Values of an image on which a star was not measured.
_OF_IMAGES: dict[str, tuple[float, type]] = {
    "counts_e": (0.0, float),
    "counts_error_e": (np.inf, float),
    "sky_e": (0.0, float),
    "chi": (0.0, float),
    "sharpness": (0.0, float),
    "roundness": (0.0, float),
    "position_angle_deg": (0.0, float),
    "crowding_mag": (0.0, float),
    "flag": (9, np.int32),
    "chip_x": (np.nan, float),
    "chip_y": (np.nan, float),
}

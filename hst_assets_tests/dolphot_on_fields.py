"""DOLPHOT 2.0 on the same star fields, with the exact PSF in its library.

Its WFC3 module takes the PSF, filter and distortion from files under the folder it was built in
(``wfc3/data``). For a field they are written anew: the PSF that drew the stars, no distortion, a
zero point that makes a magnitude the light to infinity. So it needs a build of its own, whose data
nobody else uses: `build` copies sources and makes one. What is not undistorted and of a single band
and pixel scale cannot be run so, and says so.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from scipy.ndimage import map_coordinates

from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets_tests.field_psfs import REACH_PIX, STEPS, psf_tables

__all__ = ["DolphotRun", "build", "cannot_run", "run_on", "write_library"]

#: Magnitude of one electron a second.
ZERO_POINT_MAG = 25.0
#: Rim of the reference image about the reference's pixels.
PAD_PIX = 12
_APERTURE_PIX = 12.0
_SCALE_DEG = 0.04 / 3600
#: Of WFC3/UVIS in DOLPHOT: places of the library, steps a pixel, radius.
_PLACES, _SUBSTEPS, _RADIUS = 16 * 8, 5, 42
#: The parameters of a study's run, whose CPU time is known.
PARAMETERS = """\
img_shift = 0 0
img_xform = 1 0 0
img_apsky = 15 25
img_RAper = 3
img_RChi = 2.0
img_RPSF = 13
img_RSky = 15 35
photsec =
FitSky = 2
SkipSky = 2
RCombine = 1.5
SkySig = 2.25
SecondPass = 1
SigFind = 2.5
SigFindMult = 0.85
SigFinal = 3.5
MaxIT = 25
NoiseMult = 0.10
FSat = 0.999
ApCor = 1
RCentroid = 2
PosStep = 0.25
dPosMax = 2.5
SigPSF = 5.0
PSFres = 1
PSFsol = 0
Align = 2
Rotate = 1
AlignTol = 0.5
AlignStep = 4.0
UseWCS = 1
Force1 = 1
UseCTE = 0
PSFPhot = 1
FlagMask = 7
VerboseData = 1
WFC3UVISpsfType = 0
"""


@dataclass(frozen=True, eq=False)
class DolphotRun:
    """What it measured, and what it took.

    Attributes
    ----------
    x, y : ndarray
        0-based pixels of the reference.
    flux_e, error_e : ndarray
        Electrons in the nominal time.
    snr, sharpness : ndarray
    object_type : ndarray of int
    cpu_s, wall_s : float
        Of `dolphot` itself; `calcsky` is in `sky_cpu_s`.
    """

    x: np.ndarray
    y: np.ndarray
    flux_e: np.ndarray
    error_e: np.ndarray
    snr: np.ndarray
    sharpness: np.ndarray
    object_type: np.ndarray
    cpu_s: float = np.nan
    wall_s: float = np.nan
    sky_cpu_s: float = np.nan


def build(sources: Path, folder: Path) -> Path:
    """Copy DOLPHOT's sources and build it with the WFC3 module; the path of the program."""
    shutil.copytree(sources, folder, ignore=shutil.ignore_patterns("*.o", "bin", ".git", "data"))
    (folder / "bin").mkdir()
    (folder / "wfc3" / "data").mkdir(parents=True)
    modules = [f"wfc3/wfc3{name}" for name in ("phot", "filters", "distort")]
    options = ["-O3", "-w", "-fcommon", "-DNAN_PRINT", "-DMAXNIMG=100", "-DMAXNSTARS=2000000"]
    options += [f'-DBASEDIR="{folder}"', f"-I{folder / 'include'}", "-DUSEWFC3"]
    for name in ("dolphot_lib", "fits_lib", *modules):
        subprocess.run(
            ["gcc", *options, "-c", "-o", f"{name}.o", f"{name}.c"], cwd=folder, check=True
        )
    objects = ["dolphot_lib.o", "fits_lib.o"]
    for program, more in (("calcsky", []), ("dolphot", [f"{each}.o" for each in modules])):
        subprocess.run(
            ["gcc", *options, "-o", f"bin/{program}", f"{program}.c", *objects, *more, "-lm"],
            cwd=folder,
            check=True,
        )
    return folder / "bin" / "dolphot"


def cannot_run(images: Sequence[ChipImage]) -> str | None:
    """Why DOLPHOT cannot be given these; None if it can."""
    if len({image.band for image in images}) > 1:
        return "several bands"
    for image in images:
        if not np.allclose(image.area, 1.0):
            return "distorted pixels"
        if image.name.endswith("chip2"):
            return "several chips"
    return None


def write_library(
    program: Path,
    family: str,
    fwhm_pix: float,
    *,
    stretch_varies: bool = False,
    zero_point_mag: float = ZERO_POINT_MAG,
) -> None:
    """Write the PSF, filter and distortion that a build of its own will read.

    Raises
    ------
    ValueError
        If the PSF varies: it would have to be averaged over each place of the library.
    """
    if stretch_varies:
        raise ValueError("a library of one PSF only is written")
    data = program.parents[1] / "wfc3" / "data"
    data.mkdir(parents=True, exist_ok=True)
    table = psf_tables(family, fwhm_pix)[0]
    side = np.arange(-REACH_PIX * STEPS, REACH_PIX * STEPS + 1) / STEPS
    inside = np.hypot(side, side[:, None]) <= _APERTURE_PIX
    enclosed = float(table[inside].sum(dtype=float)) / STEPS**2
    correction = -2.5 * np.log10(enclosed)
    (data / "filters.dat").write_text(
        f"1\nF814W\nI\n{zero_point_mag} {zero_point_mag}\n{correction:.5f} {correction:.5f}\n0\n"
    )
    (data / "ir_idctab.dat").write_text("")
    (data / "uvis_idctab.dat").write_text("".join(_identity(chip) for chip in (1, 2)))
    # The reference, a stack, is taken for chip 1.
    library = data / "F814W.uvis2.psf"
    library.write_bytes(_library(table) * _PLACES)
    (data / "F814W.uvis1.psf").unlink(missing_ok=True)
    (data / "F814W.uvis1.psf").hardlink_to(library)


def _library(table: np.ndarray) -> bytes:
    """Stamps for stars off the pixel's middle by -3 to 3 fifths, Y slowest."""
    pixels = np.arange(-_RADIUS, _RADIUS + 1)
    stamps = []
    middle, step = REACH_PIX * STEPS, STEPS // _SUBSTEPS
    for dy in range(-3, 4):
        for dx in range(-3, 4):
            rows = middle + pixels * STEPS - dy * step
            columns = middle + pixels * STEPS - dx * step
            stamps.append(table[rows[:, None], columns])
    return np.array(stamps).astype(">f4").tobytes()


def _identity(chip: int) -> str:
    """Lines of ``uvis_idctab.dat`` at the columns where `wfc3filters.c` reads: no distortion."""
    terms = np.zeros(28)
    terms[1], terms[14] = 1.0, 1.0
    forward = f"{chip}".ljust(10) + "FORWARD".ljust(10) + "F814W".ljust(26)
    forward += "2048.0".ljust(11) + "1026.0".ljust(11) + "0.0".ljust(13) + "1.0".ljust(13)
    forward += "0.0".ljust(13) + "0.0".ljust(13)
    forward += "".join(f"{term}".ljust(21) for term in terms)
    inverse = f"{chip}".ljust(6) + "INVERSE".ljust(11) + "F814W".ljust(34)
    inverse += "".join(f"{term}".ljust(14) for term in np.concatenate([np.zeros(6), terms]))
    return forward + "\n" + inverse + "\n"


def run_on(
    images: Sequence[ChipImage],
    folder: Path,
    *,
    program: Path,
    shape: tuple[int, int],
    nominal_s: float,
    zero_point_mag: float = ZERO_POINT_MAG,
    reference: np.ndarray | None = None,
    timeout_s: float = 3600.0,
) -> DolphotRun:
    """Write the files, run ``calcsky`` and ``dolphot``, read the catalogue.

    The reference image, with a rim of `PAD_PIX`, is the images' sum if none is given.

    Raises
    ------
    RuntimeError
        If it ends without a catalogue.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if reference is None:
        reference = _summed(images, shape)
    _write_reference(reference, images, folder / "ref.chip1.fits")
    lines = [f"Nimg = {len(images)}", "img0_file = ref.chip1"]
    sky_cpu = 0.0
    for k, image in enumerate(images, start=1):
        _write_chip(image, folder / f"sim{k}.chip1.fits", shape)
        lines.append(f"img{k}_file = sim{k}.chip1")
    for base in ("ref", *(f"sim{k}" for k in range(1, len(images) + 1))):
        sky_cpu += _timed(
            [program.parent / "calcsky", f"{base}.chip1", "15", "35", "4", "2.25", "2.00"],
            folder,
            "calcsky.log",
            timeout_s,
        )[0]
    (folder / "dp.param").write_text("\n".join(lines) + "\n" + PARAMETERS)
    cpu, wall = _timed([program, "dp", "-pdp.param"], folder, "dp.output", timeout_s)
    if " stars written" not in (folder / "dp.output").read_text():
        raise RuntimeError(f"DOLPHOT wrote no stars: see {folder / 'dp.output'}")
    return read_run(
        folder / "dp",
        nominal_s=nominal_s,
        zero_point_mag=zero_point_mag,
        times=(cpu, wall, sky_cpu),
    )


def read_run(
    catalog: Path,
    *,
    nominal_s: float,
    zero_point_mag: float = ZERO_POINT_MAG,
    times: tuple[float, float, float] = (np.nan, np.nan, np.nan),
) -> DolphotRun:
    """A catalogue of several exposures in one filter."""
    rows = np.loadtxt(catalog, ndmin=2)
    magnitude, error = rows[:, 15], rows[:, 17]
    flux = 10 ** (-0.4 * (magnitude - zero_point_mag)) * nominal_s
    flux = np.where(magnitude > 90, np.nan, flux)
    seen = np.isfinite(flux)
    # DOLPHOT's X is the numpy index plus 0.5.
    place = rows[:, 2:4] - 0.5 - PAD_PIX
    return DolphotRun(
        place[seen, 0],
        place[seen, 1],
        flux[seen],
        (flux * error / 1.0857362)[seen],
        rows[seen, 5],
        rows[seen, 6],
        rows[seen, 10].astype(int),
        *times,
    )


def _timed(
    command: Sequence[object], folder: Path, log: str, timeout_s: float
) -> tuple[float, float]:
    """Run; CPU and wall seconds."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with (folder / log).open("a") as output:
        subprocess.run(
            [str(each) for each in command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=timeout_s,
            check=True,
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - started


def _write_chip(image: ChipImage, path: Path, shape: tuple[int, int]) -> None:
    data = image.data_e.copy()
    low, high = -50.0, 1e5
    data[~image.good] = low - 1
    data[image.saturated] = high + 1
    cards = _cards(image.exptime_s, image.read_noise_e, low, high, image.mjd, tag=2)
    middle = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
    steps = [middle, middle + np.array([100.0, 0.0]), middle + np.array([0.0, 100.0])]
    places = [np.array(image.pixel_map(np.array(x), np.array(y))) for x, y in steps]
    linear = np.column_stack([(places[1] - places[0]) / 100, (places[2] - places[0]) / 100])
    _point(cards, places[0], np.linalg.inv(linear))
    fits.PrimaryHDU(data, cards).writeto(path, overwrite=True)


#: A value of the reference image where no image has a good pixel.
_NOTHING = -201.0


def _summed(images: Sequence[ChipImage], shape: tuple[int, int]) -> np.ndarray:
    """The sum of all images, resampled linearly, with a rim."""
    ny, nx = shape[0] + 2 * PAD_PIX, shape[1] + 2 * PAD_PIX
    x, y = np.meshgrid(np.arange(nx) - PAD_PIX, np.arange(ny) - PAD_PIX)
    total, weight = np.zeros((ny, nx)), np.zeros((ny, nx))
    for image in images:
        i, j = image.pixel_map(x.astype(float), y.astype(float))
        good = map_coordinates(image.good.astype(float), [j, i], order=1, cval=0.0) > 0.999
        total += np.where(good, map_coordinates(image.data_e, [j, i], order=1), 0.0)
        weight += good
    return np.where(weight > 0, total / np.maximum(weight, 1) * len(images), _NOTHING)


def _write_reference(data: np.ndarray, images: Sequence[ChipImage], path: Path) -> None:
    exptime = sum(image.exptime_s for image in images)
    noise = images[0].read_noise_e * np.sqrt(len(images))
    cards = _cards(exptime, noise, _NOTHING + 1, 1e6, images[0].mjd, tag=-2)
    ny, nx = data.shape
    _point(cards, np.array([(nx - 1) / 2, (ny - 1) / 2]), np.eye(2))
    fits.PrimaryHDU(data.astype(np.float32), cards).writeto(path, overwrite=True)


def _cards(
    exptime_s: float, noise_e: float, low: float, high: float, mjd: float, *, tag: int
) -> fits.Header:
    cards = fits.Header()
    cards.update(GAIN=1.0, EXPTIME=exptime_s, RDNOISE=noise_e, BADPIX=low, SATURATE=high)
    cards["MJD-OBS"] = mjd
    cards.update(AIRMASS=0.0, EXPTIME0=exptime_s, FILTER="F814W", DOL_WFC3=tag)
    return cards


def _point(cards: fits.Header, middle: np.ndarray, inverse: np.ndarray) -> None:
    """A tangent plane whose CRVAL is the middle of the reference."""
    cards.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=150.0, CRVAL2=2.0)
    cards.update(CRPIX1=float(middle[0]) + 1, CRPIX2=float(middle[1]) + 1)
    matrix = np.diag([-_SCALE_DEG, _SCALE_DEG]) @ inverse
    cards.update(CD1_1=matrix[0, 0], CD1_2=matrix[0, 1], CD2_1=matrix[1, 0], CD2_2=matrix[1, 1])

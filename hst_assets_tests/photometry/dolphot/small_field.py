"""A small field of stars as DOLPHOT's inputs: images, skies, and the table that lists them.

The frames have no card of an HST instrument, so that DOLPHOT takes them for those of any camera and
fits an analytic PSF: its libraries for HST are not needed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from hst_assets.digests import digest_of
from hst_assets.photometry.dolphot.inputs import INPUT_COLUMNS
from hst_assets.products.columns import build_table, read_table, write_table
from hst_assets.provenance import Recipe, Result, make
from hst_assets.workdir import WorkDir

SIDE = 150
N_STARS = 60
FWHM_PIX = 2.6
SKY = 50.0
GAIN, READ_NOISE, SATURATE, BADPIX = 1.5, 5.4, 40000.0, -50.0
SHIFTS = ((0.0, 0.0), (3.3, 2.6))
SCALE_DEG = 0.04 / 3600
#: What lets DOLPHOT 2 measure these frames well.
SETTINGS = """
[photometry]
make = true
[dolphot]
FPSF = "gauss"
SubPixel = 5
PSFsol = 0
EPSF = 1
SigPSF = 10
AlignTol = 8
AlignStep = 2
[dolphot.detectors.all]
RAper = 3
RChi = 2
RPSF = 10
RSky = [6, 14]
aprad = 8
apsky = [12, 20]
PSFa = [2.6, 0, 0, 0, 0, 0]
PSFb = [2.6, 0, 0, 0, 0, 0]
"""


def truth(seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X and Y (0-based, of the reference) and counts of the stars."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(12, SIDE - 12, size=(2, N_STARS))
    return x, y, 10 ** rng.uniform(3.0, 4.6, N_STARS)


def frame(shift: tuple[float, float], seed: int) -> np.ndarray:
    """One noisy exposure."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    counts = np.full((SIDE, SIDE), SKY)
    variance = (FWHM_PIX / 2.3548) ** 2
    for x, y, flux in zip(*truth(), strict=True):
        r2 = (columns - x - shift[0]) ** 2 + (rows - y - shift[1]) ** 2
        counts += flux / (2 * np.pi * variance) * np.exp(-r2 / (2 * variance))
    noisy = rng.poisson(counts * GAIN) / GAIN + rng.normal(0, READ_NOISE / GAIN, counts.shape)
    return noisy.astype(np.float32)


def header(shift: tuple[float, float]) -> fits.Header:
    cards = fits.Header()
    cards.update(
        GAIN=GAIN, EXPTIME=120.0, RDNOISE=READ_NOISE, BADPIX=BADPIX, SATURATE=SATURATE, AIRMASS=0.0
    )
    cards["MJD-OBS"] = 59000.0
    cards.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=150.0, CRVAL2=2.0)
    cards.update(CRPIX1=SIDE / 2 + shift[0], CRPIX2=SIDE / 2 + shift[1])
    cards.update(CD1_1=-SCALE_DEG, CD1_2=0.0, CD2_1=0.0, CD2_2=SCALE_DEG)
    return cards


def small_field(root: Path, settings: str = SETTINGS) -> WorkDir:
    """A work directory with inputs for DOLPHOT, made and recorded."""
    workdir = WorkDir(root, "field").create()
    workdir.settings_file.write_text(settings)
    inputs = workdir.dolphot / "inputs"
    inputs.mkdir(parents=True)
    rows = []
    for number, shift in enumerate(((0.0, 0.0), *SHIFTS)):
        name = f"iaaa01a{number}q"
        label = "field.wfc3_uvis_full.f814w.ref_0001.drc" if number == 0 else f"{name}_flc.chip1"
        fits.writeto(inputs / f"{label}.fits", frame(shift, seed=10 + number), header(shift))
        sky = np.full((SIDE, SIDE), SKY, np.float32)
        fits.writeto(inputs / f"{label}.sky.fits", sky, header(shift))
        rows.append(
            {
                "role": "exposure" if number else "reference",
                "exposure": name,
                "visit": name[:6],
                "chip": min(number, 1),
                "file": f"inputs/{label}.fits",
                "sky_file": f"inputs/{label}.sky.fits",
                "instrument": "WFC3",
                "detector": "UVIS",
                "filter": "F814W",
                "exptime_s": 120.0,
                "mjd": 59000.0,
                "x": SIDE / 2,
                "y": SIDE / 2,
                "contains_target": True,
                "used": True,
                "reason": "",
                "note": "",
                **dict.fromkeys(("n_bad", "n_saturated", "n_cosmic_ray"), 0),
                "sky_median": SKY,
                "min_value": BADPIX,
                "max_value": SATURATE,
                "read_noise_e": READ_NOISE,
                "gain": GAIN,
            }
        )
    write_inputs(workdir, rows)
    return workdir


def write_inputs(
    workdir: WorkDir, rows: list[dict[str, object]], *, planned: object = None
) -> None:
    """The table of inputs with its record; by default its recipe tells the rows apart."""
    path = workdir.dolphot_inputs

    def run() -> Result:
        write_table(build_table(INPUT_COLUMNS, rows), path)
        return Result((path,))

    make(
        Recipe(stage="dolphot_inputs", code_version="0", inputs={"a": digest_of(planned or rows)}),
        path,
        workdir,
        run,
        redo=True,
    )


def rows_of(workdir: WorkDir) -> list[dict[str, object]]:
    """The rows of the table of inputs, by the keys that a table is built from."""
    table = read_table(workdir.dolphot_inputs)
    plain = {
        spec.key or spec.name: np.asarray(table[spec.name].value if spec.unit else table[spec.name])
        for spec in INPUT_COLUMNS
    }
    return [{key: values[i].item() for key, values in plain.items()} for i in range(len(table))]

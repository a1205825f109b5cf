"""The errors and flags of a product's pixels: its planes ERR and DQ.

Only child processes import this; the current directory is the call's own scratch folder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.nddata.bitmask import interpret_bit_flags
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.detectors import Detector
from hst_assets.exposures.dq_files import quality_file
from hst_assets.imaging.cosmic_rays import science_and_quality
from hst_assets.imaging.forked import in_children, row_blocks, shared_array
from hst_assets.imaging.frames import Frame
from hst_assets.imaging.noise import NoiseModel, error_plane, exposed, noise_model
from hst_assets.imaging.product_flags import product_flags

__all__ = ["with_errors"]

Planes = Mapping[str, NDArray[Any]]

#: Rows that are worked on at a time: what is in between stays small beside the planes.
_ROWS_AT_A_TIME = 256
#: How far a drop reaches from its centre, over its side: the corner of a square, 2.5 sigma of a
#: gaussian. The lobes of lanczos3, whose drops are whole pixels, reach 3.
_REACH = {"square": math.sqrt(0.5), "turbo": 0.5, "point": 0.0, "gaussian": 1.06, "lanczos3": 3.0}


def with_errors(
    planes: Planes,
    primary: fits.Header,
    copies: Sequence[Path],
    *,
    detector: Detector,
    frame: Frame,
    good_bits: Any,
    cores: int,
) -> dict[str, NDArray[Any]]:
    """Add ERR and DQ to a product's planes.

    Parameters
    ----------
    planes : mapping
        SCI, WHT and CTX.
    primary : `~astropy.io.fits.Header`
        The product's; it tells the noise.
    copies : sequence of `~pathlib.Path`
        What was combined: names in the current directory.
    detector, frame
        Whose they are, and the product's pixels.
    good_bits : str, int or None
        DQ bits that were drizzled all the same (``final_bits``).
    cores : int
        Processes at a time; the planes do not depend on it.

    Returns
    -------
    dict
        The planes, with ERR (float32, in the unit of SCI, NaN without weight) and DQ (int16,
        `hst_assets.imaging.product_flags.ProductFlag`).
    """
    model = noise_model(primary)
    saturated: NDArray[np.bool_] = shared_array(frame.shape, np.bool_)
    in_children([partial(_mark, path, detector, frame, model, saturated) for path in copies], cores)
    error: NDArray[np.float32] = shared_array(frame.shape, np.float32)
    flags: NDArray[np.int16] = shared_array(frame.shape, np.int16)
    made = {**planes, "ERR": error, "DQ": flags}
    good = interpret_bit_flags(good_bits)
    counts = good is None or bool(good & detector.dq_saturated)
    fill = partial(
        _fill, made, model=model, detector=detector, saturated=saturated, saturated_counts=counts
    )
    n_rows = frame.shape[0]
    blocks = row_blocks(n_rows, max(-(-n_rows // _ROWS_AT_A_TIME), cores))
    shares = [blocks[low:high] for low, high in row_blocks(len(blocks), cores)]
    in_children([partial(fill, blocks=share) for share in shares], cores)
    return made


def _fill(
    made: Planes,
    *,
    model: NoiseModel,
    detector: Detector,
    saturated: NDArray[np.bool_],
    saturated_counts: bool,
    blocks: Sequence[tuple[int, int]],
) -> None:
    """Fill ERR and DQ of some blocks of rows; light is smoothed with the row on either side."""
    n_rows = len(made["SCI"])
    seconds = np.float32(1.0 if model.rate else model.exptime_s)
    for low, high in blocks:
        rows = slice(max(low - 1, 0), min(high + 1, n_rows))
        inner = slice(low - rows.start, high - rows.start)
        rate = (made["SCI"][rows] / seconds).astype(np.float32)
        reached = exposed(model, made["WHT"][rows], made["CTX"][..., rows, :])
        made["ERR"][low:high] = error_plane(rate, reached, model)[inner] * seconds
        flags = product_flags(
            rate,
            reached,
            model,
            detector,
            saturated=saturated[rows],
            saturated_counts=saturated_counts,
        )
        made["DQ"][low:high] = flags[inner]


def _mark(
    path: Path,
    detector: Detector,
    frame: Frame,
    model: NoiseModel,
    saturated: NDArray[np.bool_],
) -> None:
    """Set the product's pixels that the drops of an exposure's saturated pixels reach."""
    quality = Path(quality_file(path).name)
    with fits.open(path, memmap=False) as hdus, fits.open(quality, memmap=False) as other:
        for sci, dq in science_and_quality(hdus, hdus if quality == path else other):
            y, x = np.nonzero(dq.data & detector.dq_saturated)
            if len(x) == 0:
                continue
            wcs = WCS(sci.header, fobj=hdus, naxis=2)
            sky = wcs.all_pix2world(np.column_stack([x, y]), 0)
            _mark_drops(frame.wcs.wcs_world2pix(sky, 0), _half_side(sci.header, model), saturated)


def _half_side(science: fits.Header, model: NoiseModel) -> float:
    """So near to a drop's centre pixels of the product get some of it (product pixels)."""
    native = float(science.get("IDCSCALE") or model.native_scale_arcsec)
    return 0.5 + _REACH[model.kernel] * model.pixfrac * native / model.scale_arcsec


def _mark_drops(
    places: NDArray[np.float64], half_side: float, saturated: NDArray[np.bool_]
) -> None:
    ny, nx = saturated.shape
    x, y = places[np.all(np.isfinite(places), axis=1)].T
    steps = range(-math.ceil(half_side), math.ceil(half_side) + 1)
    for columns in (np.rint(x).astype(int) + step for step in steps):
        near = (np.abs(columns - x) < half_side) & (columns >= 0) & (columns < nx)
        for rows in (np.rint(y).astype(int) + step for step in steps):
            inside = near & (np.abs(rows - y) < half_side) & (rows >= 0) & (rows < ny)
            saturated[rows[inside], columns[inside]] = True

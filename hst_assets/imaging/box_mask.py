"""A box on the sky that some exposures fill and others leave out (``drizzle.mask``).

So a reference without the transient can be built: the ordinary exposures are masked where it is,
and the exposures of ``drizzle.add``, taken when it was not there, fill that box and nothing else.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import NDArray

from hst_assets.imaging.cosmic_rays import opened_to_flag, science_and_quality
from hst_assets.imaging.frames import opened
from hst_assets.settings import DrizzleSettings
from hst_assets.sky_position import parse_position

__all__ = ["FLAG", "BoxMask", "box_of", "mask_boxes", "reaches"]

#: DQ bit of what is masked: among no detector's good bits, and one that the sky may be measured
#: through, so that the levels of exposures with nothing in common but the box can be matched.
FLAG = 16384


@dataclass(frozen=True)
class BoxMask:
    """The box, and who fills it.

    Parameters
    ----------
    ra_deg, dec_deg : float
        Its centre (ICRS).
    half_size_pix : int
        Half its side, along the rows and columns of each chip, in native pixels.
    filled_by : tuple of str
        File names of the exposures that are masked outside; all others are masked inside.
    """

    ra_deg: float
    dec_deg: float
    half_size_pix: int
    filled_by: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """All figures, for a recipe or a child process."""
        return {**asdict(self), "filled_by": list(self.filled_by)}

    @classmethod
    def from_json(cls, figures: Mapping[str, Any]) -> BoxMask:
        """The inverse of `as_json`."""
        return cls(**{**figures, "filled_by": tuple(figures["filled_by"])})


def box_of(choices: DrizzleSettings, filled_by: Sequence[str]) -> BoxMask | None:
    """The box that the settings ask for, if any."""
    if choices.mask is None:
        return None
    ra_deg, dec_deg = parse_position(choices.mask)
    return BoxMask(ra_deg, dec_deg, choices.mask_half_size_pix, tuple(filled_by))


def reaches(path: Path, box: BoxMask) -> bool:
    """Whether any chip of an exposure has a pixel in the box."""
    with opened(path) as hdus:
        return any(
            _inside(hdus, sci, (sci.header["NAXIS2"], sci.header["NAXIS1"]), box) is not None
            for sci in hdus
            if sci.name == "SCI"
        )


def mask_boxes(copies: Sequence[Path], box: BoxMask) -> None:
    """Set `FLAG` in the data quality of scratch copies.

    Parameters
    ----------
    copies : sequence of `~pathlib.Path`
        Exposures that may be changed (WFPC2: the c0m; the c1m beside each is changed).
    box : BoxMask
        What to mask; exposures go by their file names.
    """
    for path in copies:
        with opened_to_flag(path) as (hdus, flags):
            for sci, dq in science_and_quality(hdus, flags):
                window = _inside(hdus, sci, dq.data.shape, box)
                masked = np.zeros(dq.data.shape, bool)
                if window is not None:
                    masked[window] = True
                if path.name in box.filled_by:
                    masked = ~masked
                dq.data[masked] |= dq.data.dtype.type(FLAG)


def _inside(
    hdus: fits.HDUList, sci: Any, shape: tuple[int, ...], box: BoxMask
) -> tuple[slice, slice] | None:
    """Rows and columns of a chip that lie in the box; None if none do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs = WCS(sci.header, fobj=hdus, naxis=2)
    # Far outside the chip the polynomials of the distortion diverge: the linear part tells.
    near = _position(wcs.wcs_world2pix(box.ra_deg, box.dec_deg, 0))
    if not np.all(np.isfinite(near)) or np.abs(near).max() > 4 * max(shape) + box.half_size_pix:
        return None
    x, y = _position(wcs.all_world2pix(box.ra_deg, box.dec_deg, 0, quiet=True))
    if not np.isfinite(x + y):
        return None
    rows, columns = (
        slice(max(round(centre) - half, 0), min(round(centre) + half + 1, size))
        for centre, half, size in (
            (y, box.half_size_pix, shape[0]),
            (x, box.half_size_pix, shape[1]),
        )
    )
    return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None


def _position(xy: Any) -> NDArray[np.float64]:
    return np.array([float(value) for value in xy])

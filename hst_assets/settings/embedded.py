"""Settings of the embedded photometer, which measures stars without DOLPHOT."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from hst_assets.detectors import DETECTORS
from hst_assets.settings.fields import Section, UserPath

__all__ = ["EmbeddedSettings"]

_BAND = re.compile(r"([a-z0-9]+_[a-z]+|wfpc2)\.([a-z0-9-]+)")


class EmbeddedSettings(Section):
    """How the embedded photometer finds and measures stars."""

    find_snr: Annotated[float, Field(ge=2, le=100)] = 5.0
    """Signal-to-noise, over all exposures, from which a star is found in the first search."""
    final_snr: Annotated[float, Field(ge=1, le=100)] = 3.5
    """Signal-to-noise from which a star is found in the searches on the residuals, and written to
    the catalogue; at most find_snr."""
    n_searches: Annotated[int, Field(ge=1, le=6)] = 3
    """Number of searches for stars: the first, and those on what is left when the stars found so
    far are taken off."""
    psf_radius_pix: Annotated[int, Field(ge=4, le=40)] = 12
    """Radius out to which a star's light is subtracted, pixels of the detector.

    Faint stars need less, and get less; a larger radius costs time and helps beside bright stars.
    """
    psf_grids: dict[str, UserPath] = Field(default={})
    """Grids of PSFs by STScI (STDPSF, FITS) by detector and filter, with which the PSF begins.

    Such as ``"wfc3_uvis.f814w" = "STDPSF_WFC3UV_F814W.fits"`` in ``[embedded.psf_grids]``. Of other
    bands, the PSF begins with a model of the telescope. Both are adjusted to the stars of the
    exposures where there are some. A relative path starts at the work directory.
    """
    max_psf_stars: Annotated[int, Field(ge=0, le=5000)] = 150
    """Number of stars that adjust the PSF of a band, at most; 0: it is left as it begins."""
    noise_mult: Annotated[float, Field(ge=0, le=1)] = 0.03
    """Error of the PSF as a fraction of a star's light in a pixel.

    It goes into chi, as DOLPHOT's NoiseMult does; not into weights and errors.
    """
    aperture_radius_arcsec: Annotated[float, Field(ge=0.1, le=2)] = 0.4
    """Radius of the aperture to which the PSF's magnitudes are corrected, arcsec; from there to all
    light, tables of encircled energy lead.

    Of WFPC2 such a table is known for 0.5 alone: it is the radius of all where it is among the
    exposures.
    """
    cosmic_rays: bool = True
    """Mask what one exposure has and the others of the same place and band do not, besides the
    cosmic rays that are flagged."""
    wfpc2_cte: bool = True
    """Correct WFPC2's magnitudes for charge that was lost in the readout (Dolphin 2009, PASP 121,
    655); other detectors' are left as they are."""
    flag_mask: Annotated[int, Field(ge=0, le=7)] = 7
    """Quality flags whose images are left out of a filter's magnitude: the sum of 1 (edge), 2 (bad
    pixels) and 4 (saturated)."""
    residuals: bool = True
    """Write what is left of each exposure when all stars are taken off (``dp0000.N.res.fits``)."""
    tile_pix: Annotated[int, Field(ge=128, le=16384)] = 1024
    """Side of the tiles of the reference that are measured one by one, pixels of the reference.

    Smaller tiles need less memory; each is a process of its own, as many at a time as
    ``machine.max_cores``.
    """
    tile_memory_gb: Annotated[float, Field(ge=0.05, le=1024)] = 1.0
    """Memory that the exposures of a tile may take, GB; a tile that needs more is divided.

    Each of ``machine.max_cores`` processes takes so much at most, and 0.3 GB for itself; where
    pixels are wide for the PSF (WFC3/IR, WFPC2), 0.1 GB more for each band.
    """

    @field_validator("psf_grids")
    @classmethod
    def _of_bands(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            found = _BAND.fullmatch(name)
            if found is None or found[1] not in DETECTORS:
                raise ValueError(f"not a detector and filter, such as wfc3_uvis.f814w: {name!r}")
            if not DETECTORS[found[1]].has_passband(found[2].upper()):
                raise ValueError(f"{found[1]} has no filter {found[2].upper()}")
        return value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.final_snr > self.find_snr:
            raise ValueError("final_snr is at most find_snr")
        return self

    def as_recipe(self) -> dict[str, Any]:
        """What decides a catalogue; of grids their content does, not where they lie."""
        return self.model_dump(mode="json", exclude={"psf_grids"})

"""Sources of earlier images whose places and fluxes are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hst_assets.counterpart.earlier_sources import BandFluxes, EarlierSources
from hst_assets.detectors import DETECTORS

PLACE = (150.1, 2.2)
BAND, OTHER = "wfc3_uvis.f814w", "wfc3_uvis.f606w"


def fluxes(band: str, flux: Sequence[float], error: float = 1.0) -> BandFluxes:
    detector, _, name = band.partition(".")
    values = np.asarray(flux, dtype=float)
    return BandFluxes(
        band=band,
        detector=DETECTORS[detector],
        filter_name=name.upper(),
        pivot_angstrom=8039.0 if band == BAND else 5889.0,
        vega_minus_ab_mag=-0.4,
        st_minus_ab_mag=0.8,
        flux_ujy=values,
        error_ujy=np.full(values.shape, error),
        n_images=np.full(values.shape, 2),
    )


def sources(
    east_arcsec: Sequence[float],
    north_arcsec: Sequence[float],
    flux: Mapping[str, Sequence[float]],
    **more: object,
) -> EarlierSources:
    """Sources at offsets from `PLACE`, with their fluxes (an error of 1) by band."""
    n = len(east_arcsec)
    east, north = np.asarray(east_arcsec) / 3600, np.asarray(north_arcsec) / 3600
    values = {
        "number": np.arange(n),
        "ra_deg": PLACE[0] + east / np.cos(np.radians(PLACE[1])),
        "dec_deg": PLACE[1] + north,
        "object_type": np.ones(n, dtype=np.int64),
        "crowding_mag": np.zeros(n),
        "bands": {band: fluxes(band, each) for band, each in flux.items()},
    }
    return EarlierSources(**{**values, **more})

"""Fluxes on chips as the child process would leave them."""

from __future__ import annotations

from typing import Any

import numpy as np

from hst_assets.photometry.light_curve.measured_places import MeasuredPlaces


def measured_places(
    flux: Any, error: Any, *, exposures: Any = None, filters: Any = None, **others: Any
) -> MeasuredPlaces:
    """Of k chips and n places; each chip is an exposure of UVIS by itself."""
    flux = np.atleast_2d(np.asarray(flux, dtype=float))
    k, n = flux.shape
    values: dict[str, Any] = {
        "exposures": np.array(exposures or [f"e{chip}" for chip in range(k)]),
        "detectors": np.array(["wfc3_uvis"] * k),
        "filters": np.array(filters or ["F814W"] * k),
        "exptime_s": np.full(k, 500.0),
        "mjd": 57000.0 + np.arange(k),
        "st_minus_ab_mag": np.full(k, 0.834),
        "vega_minus_ab_mag": np.full(k, -0.418),
        "scale_error_mag": np.zeros(k),
        "remarks": np.array([""] * k),
        "flux_ujy": flux,
        "flux_error_ujy": np.broadcast_to(np.asarray(error, dtype=float), flux.shape).copy(),
        "width_error_ujy": np.zeros((k, n)),
        "ujy_per_electron": np.full((k, n), np.nan),
        "expected_ujy": np.full((k, n), np.nan),
        "transfer_mag": np.zeros((k, n)),
        "sky_e": np.full((k, n), 60.0),
        "flag": np.zeros((k, n), np.int32),
        "beyond_edge_pix": np.zeros((k, n)),
    }
    return MeasuredPlaces(**{**values, **others})

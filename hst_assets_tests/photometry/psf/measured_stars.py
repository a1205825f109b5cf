"""Measured stars to be written: made of numbers, or taken from a catalogue of DOLPHOT's."""

from __future__ import annotations

from typing import Any

import numpy as np

from hst_assets.detectors import DETECTORS
from hst_assets.photometry.catalog.model import Catalog
from hst_assets.photometry.psf.catalog_files import CatalogedImage
from hst_assets.photometry.psf.measured_stars import MeasuredStars


def measured_stars(counts_e: Any, error_e: Any, **more: Any) -> MeasuredStars:
    """Stars in a row, of fluxes of shape (k, n), on images a, b, …; `more` replaces fields."""
    counts, error = np.array(counts_e, dtype=float), np.array(error_e, dtype=float)
    k, n = counts.shape
    zero = np.zeros((k, n))
    fields: dict[str, Any] = {
        "x": 10.0 + 5 * np.arange(n),
        "y": 20.0 + np.arange(n),
        "x_error": np.full(n, 0.01),
        "y_error": np.full(n, 0.01),
        "object_type": np.ones(n, np.int32),
        "counts_e": counts,
        "counts_error_e": error,
        "sky_e": zero + 50.0,
        "chi": zero + 1.0,
        "sharpness": zero,
        "roundness": zero,
        "position_angle_deg": zero,
        "crowding_mag": zero,
        "flag": np.zeros((k, n), np.int32),
        "image_names": tuple("abcdefgh"[:k]),
        "aperture_correction_mag": np.zeros(k),
        "aperture_correction_error_mag": np.zeros(k),
    }
    return MeasuredStars(**{**fields, **more})


def cataloged_image(name: str, filter_name: str = "F814W", **more: Any) -> CatalogedImage:
    """An image of WFC3/UVIS."""
    known: dict[str, Any] = {
        "alias": f"{name}_flc.chip1",
        "detector": DETECTORS["wfc3_uvis"],
        "filter": filter_name,
        "exptime_s": 500.0,
        "mjd": 58000.0,
        "gain": 1.0,
        "chip_code": 2,
        "zero_point_mag": 24.0,
    }
    return CatalogedImage(**{**known, **more})


def of_catalog(catalog: Catalog) -> tuple[MeasuredStars, list[CatalogedImage]]:
    """What DOLPHOT's columns of images say, of which its other columns are to follow."""
    images = catalog.columns.images

    def each(key: str) -> np.ndarray:
        return np.array([catalog.values(key, image=image.number) for image in images])

    counts, snr = each("counts"), each("snr")
    exptime = np.array([image.exptime_s for image in images])[:, None]
    # Of faint stars, errors of counts from the rates' errors have more digits than from S/N.
    usual = np.array(
        [
            np.median(each("rate")[k][bright] / counts[k][bright])
            for k, bright in enumerate(counts > 1000)
        ]
    )[:, None]
    error = each("rate_error") / usual
    error = np.where((each("flag") == 9) | (each("rate_error") > 9000), np.inf, error)
    error = np.where(snr >= 5, counts / np.where(snr == 0, 1, snr), error)
    zero_points = np.median(-2.5 * np.log10(usual * exptime), axis=1)
    stars = measured_stars(
        counts,
        error,
        x=catalog["x"] - 0.5,
        y=catalog["y"] - 0.5,
        x_error=np.zeros(len(catalog)),
        y_error=np.zeros(len(catalog)),
        object_type=catalog["object_type"],
        sky_e=each("sky"),
        chi=each("chi"),
        sharpness=each("sharpness"),
        roundness=each("roundness"),
        crowding_mag=each("crowding"),
        flag=each("flag"),
    )
    return stars, [
        cataloged_image(
            image.name, image.filter_name, exptime_s=image.exptime_s, zero_point_mag=zero
        )
        for image, zero in zip(images, zero_points.tolist(), strict=True)
    ]

"""hst123's averages of a catalogue beside ours: `python benchmarks/light_curve_averages.py`.

The catalogue is the reference run of DOLPHOT beside the checkout (four exposures of one field, with
the truth). For every star, exposures are averaged as hst123 1.1.0 does it and as light curves do;
both are compared with the truth. Exits with an error if one of hst123's three errors is ours, too.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from hst_assets.photometry.catalog.combining import rates_of_image
from hst_assets.photometry.catalog.model import Catalog
from hst_assets.photometry.catalog.reading import read_catalog
from hst_assets.photometry.light_curve.averages import averaged
from hst_assets.photometry.light_curve.points import Point

RUN = Path(__file__).parents[1].parent / "shared" / "data" / "dolphot_reference" / "crowded_1k"
#: Vega magnitude of one electron a second of the run's zero point, and its exposures (seconds).
ZERO_POINT, EXPTIME_S = 24.680, 500.0
FLAG_MASK = 7
#: True electrons an exposure, between which stars are put together.
BINS_E = (60, 120, 240, 500, 1000, 4000, 100000)
Floats = NDArray[np.float64]


def main() -> int:
    catalog = read_catalog(RUN / "dp.gz")
    rows, true_e = matched(catalog)
    counts, error, mag_error = exposures(catalog)
    bright = true_e > BINS_E[-2]
    # The aperture correction of the run is that of its few isolated stars: it is not judged here.
    scale = np.median(counts[:, rows][:, bright] / true_e[bright])
    counts, error = counts / scale, error / scale
    theirs = hst123(counts[:, rows], mag_error[:, rows], error[:, rows])
    ours = light_curves(counts[:, rows], error[:, rows])
    print("true e-/exposure | stars | hst123: bias mag, error, true scatter | here: the same")
    for low, high in itertools.pairwise(BINS_E):
        chosen = (true_e >= low) & (true_e < high)
        cells = [summary(*each, true_e, chosen) for each in (theirs, ours)]
        print(f"{low}-{high} | {chosen.sum()} | {cells[0]} | {cells[1]}")
    dropped = ((counts[:, rows] <= 0) | (mag_error[:, rows] >= 0.5)).sum()
    print(f"exposures of these stars that hst123 drops: {dropped} of {counts[:, rows].size}")
    print("one star of S/N 20 in each of four exposures:")
    of_one = np.full((4, 1), 400.0)
    sigma, mag = np.full((4, 1), 20.0), np.full((4, 1), 1.0857 / 20)
    error_theirs, error_ours = (
        float(1.0857 * (value[1] / value[0])[0])
        for value in (hst123(of_one, mag, sigma), light_curves(of_one, sigma))
    )
    print(f"  error of the mean: hst123 {error_theirs:.4f}, here {error_ours:.4f} mag")
    limits = [limit(*each) for each in (theirs, ours)]
    print(
        f"magnitude (Vega) at which the error says S/N = 3: hst123 {limits[0]:.2f}, "
        f"here {limits[1]:.2f}; DOLPHOT's own columns {dolphots_limit(catalog):.2f}"
    )
    print("bias of the mean of four exposures, %, by errors that hold the flux itself | here")
    for star_e, background_e2 in ((25, 0), (100, 0), (100, 100), (100, 1000)):
        own, expected = bias_percent(star_e, background_e2)
        print(f"  {star_e} e-, background {background_e2} e-^2: {own:+.2f} | {expected:+.2f}")
    worst = abs(limits[1] - dolphots_limit(catalog))
    return 0 if abs(error_ours - 1.0857 / 40) < 1e-3 and worst < 0.1 else 1


def matched(catalog: Catalog) -> tuple[NDArray[np.int64], Floats]:
    """Rows of the catalogue that are true stars, alone within a pixel, and their electrons."""
    truth = np.load(RUN / "truth_sim.npz")
    # The reference begins twelve pixels before the exposure of the truth (CRPIX of both).
    x, y, flux = truth["x"] + 12.0, truth["y"] + 12.0, truth["f"]
    found = KDTree(np.column_stack([catalog["x"] - 0.5, catalog["y"] - 0.5]))
    distance, row = found.query(np.column_stack([x, y]))
    crowd = KDTree(np.column_stack([x, y])).query(np.column_stack([x, y]), k=2)[0][:, 1]
    good = (distance < 1.0) & (crowd > 5.0) & (catalog["object_type"][row] <= 2)
    return row[good], flux[good]


def exposures(catalog: Catalog) -> tuple[Floats, Floats, Floats]:
    """Electrons an exposure inside of all light, their errors and those of magnitudes: (k, n)."""
    scale = EXPTIME_S * 10 ** (0.4 * ZERO_POINT)
    images = catalog.columns.images
    rates = [rates_of_image(catalog, image, flag_mask=FLAG_MASK) for image in images]
    counts = np.stack([each.rate * scale for each in rates])
    error = np.stack([np.where(each.counting, each.rate_error * scale, np.inf) for each in rates])
    mag_error = np.stack([catalog.values("mag_error", image=image.number) for image in images])
    return counts, error, mag_error


def hst123(counts: Floats, mag_error: Floats, error: Floats) -> tuple[Floats, Floats]:
    """Means and errors as hst123 makes them.

    Exposures with an error of 0.5 mag or more, or without positive counts, are dropped; weights are
    inverse variances; the error is the root mean square of the single ones.
    """
    kept = (mag_error < 0.5) & (counts > 0) & np.isfinite(error)
    own = np.where(kept, mag_error / 1.0857 * counts, np.inf)
    weight = 1.0 / own**2
    total = weight.sum(axis=0)
    n = kept.sum(axis=0)
    safe = np.where(n > 0, total, 1.0)
    mean = np.where(n > 0, (np.where(kept, counts, 0.0) * weight).sum(axis=0) / safe, np.nan)
    square = np.where(kept, own, 0.0) ** 2
    return mean, np.where(n > 0, np.sqrt(square.sum(axis=0) / np.maximum(n, 1)), np.nan)


def light_curves(counts: Floats, error: Floats) -> tuple[Floats, Floats]:
    """Means and errors of the same exposures as light curves have them."""
    means = []
    for flux, sigma in zip(counts.T, error.T, strict=True):
        points = [
            point(float(one), float(its), at)
            for at, (one, its) in enumerate(zip(flux, sigma, strict=True))
        ]
        means.append(averaged(points, {f"e{at}": 1.0 for at in range(len(points))})[-1])
    return (
        np.array([mean.flux_ujy for mean in means]),
        np.array([mean.flux_error_ujy for mean in means]),
    )


def bias_percent(star_e: float, background_e2: float, n: int = 4000) -> tuple[float, float]:
    """Bias of the mean of four exposures: weights by own errors, and as light curves have them."""
    rng = np.random.default_rng(1)
    noise = rng.normal(0.0, max(background_e2, 1e-9) ** 0.5, (4, n))
    flux = rng.poisson(star_e, (4, n)) + noise
    error = np.sqrt(background_e2 + np.maximum(flux, 1.0))
    own = np.average(flux, axis=0, weights=error**-2)
    here, _ = light_curves(flux, error)
    return tuple(100 * (float(each.mean()) / star_e - 1) for each in (own, here))


def point(flux: float, error: float, number: int) -> Point:
    """A point of one exposure, in electrons."""
    counts = bool(np.isfinite(error))
    return Point(
        source=0,
        method="catalog",
        level="exposure",
        detector="wfc3_uvis",
        filter_name="F814W",
        epoch=1,
        images=(f"e{number}",),
        mjd=56000.0 + number,
        mjd_first=56000.0 + number,
        mjd_last=56000.0 + number,
        exptime_s=EXPTIME_S,
        n_images=int(counts),
        flux_ujy=flux if counts else np.nan,
        flux_error_ujy=error,
    )


def summary(mean: Floats, error: Floats, true_e: Floats, chosen: NDArray[np.bool_]) -> str:
    """Median bias in magnitudes, stated relative error, and the scatter about the truth."""
    known = chosen & np.isfinite(mean)
    relative = (mean[known] - true_e[known]) / true_e[known]
    bias = -2.5 * np.log10(1 + np.median(relative))
    scatter = 1.4826 * np.median(np.abs(relative - np.median(relative)))
    stated = np.median(error[known] / true_e[known])
    return f"{bias:+.3f}, {1.0857 * stated:.3f}, {1.0857 * scatter:.3f}"


def limit(mean: Floats, error: Floats) -> float:
    """Magnitude at which the error is a third of the flux, by the run of S/N with magnitude."""
    known = np.isfinite(mean) & (mean > 0) & (error > 0)
    mag = ZERO_POINT - 2.5 * np.log10(mean[known] / EXPTIME_S)
    return crossing(mag, mean[known] / error[known])


def dolphots_limit(catalog: Catalog) -> float:
    """The same by DOLPHOT's columns of the filter."""
    name = catalog.columns.filters[0].label
    measured = catalog.measured(filter_name=name)
    mag = catalog.values("vega_mag", filter_name=name)[measured]
    return crossing(mag, catalog.values("snr", filter_name=name)[measured])


def crossing(mag: Floats, snr: Floats) -> float:
    """Where a straight line through lg S/N of the faintest stars comes to 3."""
    faint = (snr > 2) & (snr < 12)
    slope, level = np.polyfit(mag[faint], np.log10(snr[faint]), 1)
    return float((np.log10(3.0) - level) / slope)


if __name__ == "__main__":
    sys.exit(main())

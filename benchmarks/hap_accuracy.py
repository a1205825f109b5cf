"""Accuracy of the advanced products of a simulated visit: positions, fluxes, magnitudes.

    python benchmarks/hap_accuracy.py [--detectors wfc3_uvis acs_wfc] [--size 1024]
                                      [--cores 2] [--folder FOLDER]

A visit of two filters with two exposures each, pointed wrong by 0.14 arcsec, with cosmic rays and
defects, on a subarray (--size 0: full frames, 500 to 700 CPU s a visit). The stand-in of the
astrometric catalogue has the true stars. Measured are

- the WCS that was written into the exposures, by the true pixels of the stars;
- RA and Dec of the total point catalogue against the truth;
- fluxes of isolated stars on the drizzled image of each filter, in an aperture of 0.4 arcsec, with
  the simulator's own photometry, over the truth;
- MagAp1 and MagAp2 of the point catalogue of each filter, less the true magnitude and the light
  lost outside the aperture.

The loss is computed from the PSF of the truth: stars are put on pixels, drizzled here (square
kernel, every pixel spread evenly over the output's), and measured with the catalogue's radii and
its sky (3 medians less 2 means of the annulus, clipped). drizzlepac has no part in it. Exits with
an error if a median is beyond its limit.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.hap.run import make_advanced_products
from hst_assets.settings import MachineSettings
from hst_assets.simulate.bands import band_of
from hst_assets.simulate.campaign import CampaignPlan, simulate_campaign
from hst_assets.simulate.geometry import Subarray, chip_views
from hst_assets.simulate.plans import small_plan
from hst_assets.simulate.psf import psf_model
from hst_assets.simulate.scoring import isolated_stars, photometry_score, star_fluxes
from hst_assets.simulate.truth import CampaignTruth, offset_between, true_offset

sys.path.insert(0, str(Path(__file__).parents[1]))
from hst_assets_tests.stand_ins.star_service import star_service

FILTERS = ("F606W", "F814W")
#: mas; relative; mag.
ASTROMETRY_MAS, FLUX, MAGNITUDE = 3.0, 0.005, 0.01
#: Radius within which the stars of a full frame lie, arcsec; pixels of a side.
FULL_RADIUS_ARCSEC, SCALES_ARCSEC = 120.0, {"wfc3_uvis": 0.0396, "acs_wfc": 0.05}
MATCH_MAS = 50.0
FINE, STAMP_PIX = 8, 24


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--detectors", nargs="+", default=["wfc3_uvis", "acs_wfc"])
    options.add_argument("--size", type=int, default=1024)
    options.add_argument("--cores", type=int, default=2)
    options.add_argument("--folder", type=Path, help="where products are kept, and taken from")
    chosen = options.parse_args()
    root = chosen.folder or Path(tempfile.mkdtemp(prefix="hap-accuracy-"))
    print("| detector | quantity | stars | median | scatter | limit |")
    print("| --- | --- | --- | --- | --- | --- |")
    good = True
    for key in chosen.detectors:
        folder = root / f"{key}-{chosen.size}"
        started = time.monotonic()
        truth, visit = CampaignTruth(folder / "sky"), folder / "visit"
        if not list(visit.glob("*_manifest.txt")):  # made in an earlier run
            simulate_campaign(plan_of(key, chosen.size), truth.root, max_cores=chosen.cores)
            make(truth, key, visit, chosen.cores)
        good &= judged(key, truth, visit)
        print(f"{key}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    if chosen.folder is None:
        shutil.rmtree(root)
    return 0 if good else 1


def plan_of(key: str, size: int) -> CampaignPlan:
    """The small plan, on more pixels and as much more sky, with brighter isolated stars."""
    small = small_plan(key, filters=FILTERS)
    radius = FULL_RADIUS_ARCSEC if size == 0 else 0.75 * size * SCALES_ARCSEC[key] + 3.0
    share = (radius / small.scene.radius_arcsec) ** 2
    scene = replace(
        small.scene,
        radius_arcsec=radius,
        n_stars=round(small.scene.n_stars * share),
        n_isolated=round(small.scene.n_isolated * share),
        isolated_magnitudes=(19.2, 21.0),
        n_galaxies=round(small.scene.n_galaxies * share),
    )
    (visit,) = small.visits
    corner = (2048 - size // 2, 1000 - size // 2)
    subarray = None if size == 0 else Subarray(*corner, size, size)
    visits = (replace(visit, subarray=subarray, dither_arcsec=1.5),)
    return replace(small, scene=scene, visits=visits)


def make(truth: CampaignTruth, key: str, folder: Path, cores: int) -> None:
    """Copy the exposures, and make the products."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in truth.science_files():
        shutil.copy(path, folder)
    poller = folder / "visit_input.out"
    poller.write_text("".join(f"{path.name}\n" for path in truth.science_files()))
    with star_service(truth.stars, f"ab_{key}_{FILTERS[0].lower()}").running() as server:
        # HAP's child processes read it at import.
        os.environ["ASTROMETRIC_CATALOG_URL"] = server.url
        machine = MachineSettings(max_cores=cores)
        result = make_advanced_products(poller, folder=folder, machine=machine)
    for line in result.told():
        print(f"{key}: {line}", file=sys.stderr)
    if result.failure is not None:
        raise SystemExit(str(result.failure))


def judged(key: str, truth: CampaignTruth, folder: Path) -> bool:
    """Print the table's rows of a detector; whether all are within their limits."""
    good = astrometry(key, truth, folder)
    for name in FILTERS:
        stem = f"hst_*_{name.lower()}_{truth.exposures['visit'][0]}"
        (image,) = folder.glob(f"{stem}_dr?.fits")
        score = photometry_score(star_fluxes(image, truth, key, name))
        good &= row(key, f"{name}, drizzled flux / true", score.n_stars, score.median_ratio - 1,
                    score.scatter, FLUX)  # fmt: skip
        (catalog,) = folder.glob(f"{stem}_point-cat.ecsv")
        good &= magnitudes(key, name, truth, Table.read(catalog), image)
    return good


def row(key: str, what: str, n: int, median: float, scatter: float, limit: float) -> bool:
    print(f"| {key} | {what} | {n} | {median:+.4f} | {scatter:.4f} | {limit} |", flush=True)
    return abs(median) <= limit and n >= 10


def astrometry(key: str, truth: CampaignTruth, folder: Path) -> bool:
    good = True
    for rootname in truth.exposures["rootname"]:
        (path,) = folder.glob(f"hst_*_{rootname[:8]}_fl?.fits")
        offset = true_offset(path, truth.positions(rootname))
        shift = 1e3 * float(np.hypot(offset.east_arcsec, offset.north_arcsec))
        good &= row(key, f"WCS of {rootname}, mas", offset.n_stars, shift,
                    1e3 * offset.scatter_arcsec, ASTROMETRY_MAS)  # fmt: skip
    (catalog,) = folder.glob("hst_*_total_*_point-cat.ecsv")
    stars = isolated_stars(truth, key, FILTERS[0])
    found, index = matched(Table.read(catalog), stars)
    offset = offset_between(stars["ra"][index], stars["dec"][index], found["RA"], found["DEC"])
    shift = 1e3 * float(np.hypot(offset.east_arcsec, offset.north_arcsec))
    return good & row(key, "total point catalogue, mas", offset.n_stars, shift,
                      1e3 * offset.scatter_arcsec, ASTROMETRY_MAS)  # fmt: skip


def matched(found: Table, stars: Table) -> tuple[Table, NDArray[np.int64]]:
    """The rows that are stars, and which stars."""
    ra, dec = np.asarray(found["RA"])[:, None], np.asarray(found["DEC"])[:, None]
    east = (ra - np.asarray(stars["ra"])) * np.cos(np.radians(dec))
    apart = 3.6e6 * np.hypot(east, dec - np.asarray(stars["dec"]))
    near = apart.min(axis=1) < MATCH_MAS
    return found[near], apart.argmin(axis=1)[near]


def magnitudes(key: str, name: str, truth: CampaignTruth, catalog: Table, image: Path) -> bool:
    stars = isolated_stars(truth, key, name)
    found, index = matched(catalog[catalog["Flags"] == 0], stars)
    true = np.asarray(stars["magnitude"])[index]
    radii = (catalog.meta["Aper1 (arcsec)"], catalog.meta["Aper2 (arcsec)"])
    losses = aperture_losses(key, name, truth, image, stars[index], radii)
    good = True
    for number, radius in enumerate(radii, start=1):
        loss = losses[:, number - 1]
        left = np.asarray(found[f"MagAp{number}"]) - true - loss
        left = left[np.isfinite(left)]
        median = float(np.median(left))
        spread = 1.4826 * float(np.median(np.abs(left - median)))
        what = f"{name}, MagAp{number} ({radius} arcsec) - true - {np.nanmedian(loss):.3f}"
        good &= row(key, what, len(left), median, spread, MAGNITUDE)
    return good


# ------------------------------------------------------------------------------- aperture loss


def aperture_losses(
    key: str,
    name: str,
    truth: CampaignTruth,
    image: Path,
    stars: Table,
    radii: tuple[float, float],
) -> NDArray[np.float64]:
    """Magnitudes that apertures lose of each star, shape (stars, radii).

    A star lies on the pixels of each exposure, and of the image, where the truth has it.

    Parameters
    ----------
    key, name : str
        Detector and filter.
    truth : CampaignTruth
        Where the stars fell.
    image : Path
        The drizzled image: the pixels that are measured.
    stars : Table
        ``id``, ``ra``, ``dec`` (deg).
    radii : tuple of float
        Of the apertures, arcsec.
    """
    header = fits.getheader(image, ("SCI", 1))
    scale = 3600.0 * abs(header["CD1_1"])
    psf = psf_model(key, band_of(key, name), chip_views(key)[0].pixel_arcsec)
    exposures = truth.exposures[truth.exposures["filter"] == name]
    places = [
        (WCS(fits.getheader(truth.exposure_folder / file, ("SCI", 1))), truth.positions(rootname))
        for file, rootname in exposures["file", "rootname"]
    ]
    x, y = WCS(header).all_world2pix(stars["ra"], stars["dec"], 0)
    lost = np.full((len(stars), len(radii)), np.nan)
    for index, star in enumerate(stars):
        centre = np.array([x[index] - np.rint(x[index]), y[index] - np.rint(y[index])])
        images = []
        for wcs, positions in places:
            found = np.flatnonzero(positions["id"] == star["id"])
            if len(found):
                pixel = (float(positions["x"][found[0]]), float(positions["y"][found[0]]))
                images.append(_drizzled(psf, _to_sky(wcs, *pixel), scale, centre, pixel))
        if len(images) == len(places):
            mean = np.mean(images, axis=0)
            net = [_net(mean, centre, radius / scale, scale) for radius in radii]
            lost[index] = -2.5 * np.log10(net)
    return lost


def _to_sky(wcs: WCS, x: float, y: float) -> NDArray[np.float64]:
    """Matrix from pixels to (east, north), arcsec, at a pixel."""
    ra, dec = wcs.all_pix2world([x, x + 1, x], [y, y, y + 1], 0)
    east, north = 3600.0 * (ra - ra[0]) * np.cos(np.radians(dec[0])), 3600.0 * (dec - dec[0])
    return np.array([[east[1], east[2]], [north[1], north[2]]])


def _drizzled(
    psf: object,
    matrix: NDArray[np.float64],
    scale: float,
    centre: NDArray[np.float64],
    pixel: tuple[float, float],
) -> NDArray[np.float64]:
    """A star of unit flux from its pixel in an exposure to `centre` of the middle output pixel."""
    half = round(0.8 / scale)
    stamp, x0, y0 = psf.stamp(*pixel, STAMP_PIX)  # type: ignore[attr-defined]
    fine = (np.arange((2 * half + 1) * FINE) + 0.5) / FINE - 0.5 - half
    # North is up and east is left in the output.
    east = -(fine[None, :] - centre[0]) * scale + 0 * fine[:, None]
    north = (fine[:, None] - centre[1]) * scale + 0 * fine[None, :]
    inverse = np.linalg.inv(matrix)
    columns = np.rint(inverse[0, 0] * east + inverse[0, 1] * north + pixel[0]).astype(int) - x0
    rows = np.rint(inverse[1, 0] * east + inverse[1, 1] * north + pixel[1]).astype(int) - y0
    inside = (rows >= 0) & (rows < len(stamp)) & (columns >= 0) & (columns < len(stamp))
    light = np.where(
        inside, stamp[rows.clip(0, len(stamp) - 1), columns.clip(0, len(stamp) - 1)], 0.0
    )
    share = scale**2 / abs(np.linalg.det(matrix))
    size = 2 * half + 1
    result: NDArray[np.float64] = share * light.reshape(size, FINE, size, FINE).mean(axis=(1, 3))
    return result


def _net(
    star: NDArray[np.float64], centre: NDArray[np.float64], radius: float, scale: float
) -> float:
    """What the aperture holds above the sky of the annulus (0.25 to 0.5 arcsec)."""
    half, fine = len(star) // 2, 20
    steps = (np.arange(len(star) * fine) + 0.5) / fine - 0.5 - half
    distance = np.hypot(steps[None, :] - centre[0], steps[:, None] - centre[1])

    def share(low: float, high: float) -> NDArray[np.float64]:
        inside = (distance > low) & (distance <= high)
        part: NDArray[np.float64] = inside.reshape(len(star), fine, len(star), fine).mean(
            axis=(1, 3)
        )
        return part

    inside = share(-1.0, radius)
    ring = star[share(0.25 / scale, 0.5 / scale) > 0]
    kept, n_before = ring, 0
    while len(kept) != n_before:
        n_before = len(kept)
        kept = kept[np.abs(kept - kept.mean()) <= 3.0 * kept.std()]
    sky = 3.0 * float(np.median(kept)) - 2.0 * float(np.mean(kept))
    return float((star * inside).sum() - sky * inside.sum())


if __name__ == "__main__":
    sys.exit(main())

"""Why HAP's alignment of WFC3/IR is off by 20 mas: which detections its match with Gaia keeps.

    PYTHONPATH=. python benchmarks/hap_alignment_bias.py [--detectors wfc3_ir wfc3_uvis]

A small simulated visit of two filters with two exposures each is aligned by drizzlepac's own code;
the stand-in of the star catalogue has the true stars. Printed are, of each detector: how far the
written WCS is off the truth (by the true pixels of the stars); how far all detections of stars then
are; and of the detections that the match with the catalogue kept, how far they lie from the mean of
all detections of their stars along the y axis of the tangent plane, with their rank among them
there (0: the lowest). A match that takes no sides has 0 and 0.5.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from hst_assets.isolation import TOOL_ENVIRONMENT
from hst_assets.simulate.campaign import simulate_campaign
from hst_assets.simulate.plans import small_plan
from hst_assets.simulate.star_service import star_service
from hst_assets.simulate.truth import CampaignTruth, true_offset

FILTERS = {"wfc3_ir": ("F110W", "F160W"), "wfc3_uvis": ("F606W", "F814W")}
#: Detections this near a star are of it: pixels.
_NEAR_PIX, _MAS = 1.2, 3.6e6


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--detectors", nargs="+", default=list(FILTERS))
    options.add_argument("--aligned", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.aligned is not None:
        report(chosen.detectors[0], chosen.aligned)
        return
    for detector in chosen.detectors:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            truth = simulate_campaign(
                small_plan(detector, filters=FILTERS[detector]), folder / "sky", max_cores=2
            )
            (folder / "work").mkdir()
            for path in truth.science_files():
                shutil.copy(path, folder / "work")
            column = f"ab_{detector}_{FILTERS[detector][0].lower()}"
            with star_service(truth.stars, column) as address:
                # drizzlepac reads the address at import.
                variables = {**TOOL_ENVIRONMENT, "ASTROMETRIC_CATALOG_URL": address}
                subprocess.run(
                    [sys.executable, __file__, "--detectors", detector, "--aligned", name],
                    env={**os.environ, **variables},
                    check=True,
                )


def report(detector: str, folder: Path) -> None:
    """Align in the folder, and print."""
    truth = CampaignTruth(folder / "sky")
    os.chdir(folder / "work")
    images, reference = aligned("".join(f"{path.name}\n" for path in truth.science_files()))
    fit = images[0].meta["fit_info"]
    kept = np.asarray(fit["fitmask"])
    matched = np.asarray(fit["matched_input_idx"])[kept]
    stars = reference[np.asarray(fit["matched_ref_idx"])[kept]]
    sky = np.concatenate([_sky(image) for image in images])
    places = np.transpose(images[0].world_to_tanp(*sky.T))
    own = KDTree(places).query_ball_point(
        np.transpose(images[0].world_to_tanp(np.array(stars["RA"]), np.array(stars["DEC"]))),
        _NEAR_PIX,
    )
    several = [(one, all_) for one, all_ in zip(matched, own, strict=True) if len(all_) > 1]
    y = places[:, 1]
    lower = [y[one] - y[all_].mean() for one, all_ in several]
    ranks = [(y[all_] < y[one]).sum() / (len(all_) - 1) for one, all_ in several]
    print(f"{detector}: {len(matched)} stars matched")
    for rootname in truth.exposures["rootname"]:
        (path,) = Path().glob(f"hst_*_{rootname[:8]}_fl?.fits")
        offset = true_offset(path, truth.positions(rootname))
        east, north = 1e3 * offset.east_arcsec, 1e3 * offset.north_arcsec
        print(f"  written WCS of {rootname}: {east:+.1f} mas E, {north:+.1f} N")
    east, north = from_stars(sky, truth)
    print(f"  all detections from true stars: {east:+.1f} mas E, {north:+.1f} N (medians)")
    print(
        f"  kept of {len(several)} stars with {np.mean([len(all_) for _, all_ in several]):.1f} "
        f"detections: {np.mean(lower):+.3f} pixels in y from their mean, rank {np.mean(ranks):.2f}"
    )


def aligned(poller: str) -> tuple[list[Any], Any]:
    """HAP's alignment in this folder: the images of the last fit, and its reference catalogue."""
    from drizzlepac.haputils import align_utils

    from hst_assets.hap.children import image_task

    fitted: list[tuple[list[Any], Any]] = []
    fit = align_utils.align_wcs

    def noted(images: list[Any], reference: Any = None, **options: Any) -> Any:
        answer = fit(images, reference, **options)
        fitted.append((images, reference))
        return answer

    align_utils.align_wcs = noted
    image_task.plan(
        poller=poller,
        log_level=50,
        use_defaults=True,
        parameters_file=None,
        new_parameters_file=None,
    )
    image_task.align(number=0, log_level=50, diagnostic_mode=False, cores=1)
    return fitted[-1]


def _sky(image: Any) -> NDArray[np.float64]:
    """RA and Dec of an image's detections by its last WCS."""
    found = image.meta["catalog"]
    return np.transpose(image.det_to_world(np.array(found["x"]), np.array(found["y"])))


def from_stars(sky: NDArray[np.float64], truth: CampaignTruth) -> tuple[float, float]:
    """Median offset of detections from the true stars that they are of, mas."""
    flat = np.array([np.cos(np.radians(np.mean(sky[:, 1]))), 1.0]) * _MAS
    stars = np.transpose([truth.stars["ra"], truth.stars["dec"]]) * flat
    distances, which = KDTree(stars).query(sky * flat)
    near = distances < 150.0
    east, north = np.median((sky * flat - stars[which])[near], axis=0)
    return float(east), float(north)


if __name__ == "__main__":
    main()

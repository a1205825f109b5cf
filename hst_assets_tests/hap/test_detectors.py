"""One small visit of each detector, two filters with two exposures, against its simulated truth.

WFC3/IR is in `test_visit`, where it is compared with what runsinglehap makes.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from hst_assets.hap.result import HapResult
from hst_assets.hap.run import make_advanced_products
from hst_assets.hap.wfpc2_exposures import write_flt
from hst_assets.settings import HapSettings
from hst_assets.simulate.plans import small_plan
from hst_assets.simulate.truth import CampaignTruth, magnitude_column, true_offset
from hst_assets_tests.hap import sbc_exposures
from hst_assets_tests.hap.one_chip import keep_chip
from hst_assets_tests.stand_ins.star_service import star_service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FILTERS = ("F606W", "F814W")
#: The chip of WFPC2 that is kept: four together take minutes.
WF3 = 3


@dataclass(frozen=True)
class Made:
    """A visit that was made, and its truth."""

    key: str
    truth: CampaignTruth
    folder: Path
    result: HapResult

    def positions(self, rootname):
        """Where the stars fell, on the chips that were kept."""
        positions = self.truth.positions(rootname)
        if self.key == "wfpc2":
            positions = positions[positions["chip"] == WF3]
            positions["chip"] = 1
        return positions

    def exposure(self, rootname):
        """The aligned copy of an exposure."""
        (path,) = self.folder.glob(f"hst_*_{rootname[:8]}_fl?.fits")
        return path


def prepared(key, simulated, folder):
    """The exposures of a visit, as HAP takes them, in a folder."""
    if key == "acs_sbc":
        plan = small_plan(
            "acs_hrc", filters=tuple(sbc_exposures.FILTERS), exptime_s=sbc_exposures.EXPTIME
        )
        truth = simulated(sbc_exposures.without_noise(plan))
    else:
        truth = simulated(small_plan(key, filters=FILTERS))
    for seed, path in enumerate(truth.exposure_files):
        shutil.copy(path, folder)
        if key == "acs_sbc":
            sbc_exposures.count_photons(folder / path.name, seed)
    if key == "wfpc2":
        for name in truth.exposures["file"]:
            keep_chip(write_flt(folder / name, folder), WF3)
    names = sorted(path.name for path in folder.glob("*_fl?.fits"))
    (folder / "visit_input.out").write_text("".join(f"{name}\n" for name in names))
    return truth


@pytest.fixture(scope="module", params=["wfc3_uvis", "acs_wfc", "acs_hrc", "acs_sbc", "wfpc2"])
def made(request, simulated, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    truth = prepared(request.param, simulated, folder)
    first = truth.exposures[0]
    column = magnitude_column(first["detector_key"], first["filter"])
    with star_service(truth.stars, column).running() as server, pytest.MonkeyPatch.context() as on:
        on.setenv("ASTROMETRIC_CATALOG_URL", server.url)
        result = make_advanced_products(
            folder / "visit_input.out", folder=folder, settings=HapSettings(photometry="both")
        )
    assert result.failure is None, result.failure
    return Made(request.param, truth, folder, result)


def test_all_products_are_there_with_their_levels(made):
    levels = {}
    for path in made.folder.glob("hst_*.fits"):
        with fits.open(path) as hdus:
            if not path.name.endswith("_hlet.fits"):
                levels.setdefault(path.stem[-3:], []).append(hdus[0].header["HAPLEVEL"])
            if path.stem[-3:] in ("drz", "drc"):
                assert [hdu.name for hdu in hdus[1:]] == ["SCI", "WHT", "CTX", "HDRTAB"]
                assert np.nanmax(hdus["SCI"].data) > 0
    exposed, drizzled = ("flc", "drc") if made.key in ("wfc3_uvis", "acs_wfc") else ("flt", "drz")
    assert {key: sorted(each) for key, each in levels.items()} == {
        exposed: [1] * 4,
        drizzled: [1] * 4 + [2] * 3,
    }
    assert len(list(made.folder.glob("*_hlet.fits"))) == 4


def test_exposures_are_where_the_truth_has_them(made):
    assert made.result.not_aligned == ()
    assert all("-FIT_SVM_GAIA" in name for name in made.result.wcs.values())
    # A tenth of a pixel of UVIS; of 40 to 90 reference stars, each found to 0.05 pixel.
    limit = 10.0 if made.key == "wfpc2" else 4.0
    for row in made.truth.exposures:
        positions = made.positions(str(row["rootname"]))
        offset = true_offset(made.exposure(str(row["rootname"])), positions)
        assert np.hypot(offset.east_arcsec, offset.north_arcsec) * 1e3 < limit
        assert np.hypot(row["error_east"], row["error_north"]) * 1e3 > 20 * limit / 2


def test_what_is_flagged_as_cosmic_rays_is_few_pixels(made):
    for row in made.truth.exposures:
        with fits.open(made.exposure(str(row["rootname"]))) as hdus:
            flagged = (hdus["DQ", 1].data & 4096) > 0
        # Hits of the simulator touch 0.3 to 1 %, and their neighbours are flagged with them;
        # of WFPC2, whose model has pixels averaged, more.
        assert flagged.mean() < 0.1


def test_catalogues_hold_the_stars_of_the_truth(made):
    (total,) = made.folder.glob("hst_*_total_*_point-cat.ecsv")
    found, stars = Table.read(total), made.truth.stars
    apart = separations(found, stars)
    near = apart.min(axis=1) < 50.0
    # What is left are knots in the wings of bright stars and in galaxies, and what is left of
    # cosmic rays.
    assert near.mean() > 0.9
    bright = bright_and_alone(made)
    assert len(bright) >= 4
    assert np.mean(apart[:, bright].min(axis=0) < 50.0) > 0.9


def test_magnitudes_of_all_stars_lose_the_same_outside_the_aperture(made):
    for name in set(made.truth.exposures["filter"]):
        told = sbc_exposures.FILTERS.get(name, name) if made.key == "acs_sbc" else name
        (path,) = made.folder.glob(f"hst_*_{told.lower()}_*_point-cat.ecsv")
        found, stars = Table.read(path), made.truth.stars
        apart = separations(found, stars)
        near = (apart.min(axis=1) < 50.0) & (found["Flags"] == 0)
        band = made.truth.exposures["detector_key"][0]
        true = np.asarray(stars[magnitude_column(band, name)])[apart.argmin(axis=1)]
        loss = (np.asarray(found["MagAp2"]) - true)[near]
        brighter = loss[true[near] < np.quantile(true[near], 0.3)]
        # Of the bright ones, whose noise is 0.01 to 0.02 mag; some have neighbours.
        median = np.median(brighter)
        assert 1.4826 * np.median(np.abs(brighter - median)) < 0.06
        assert 0.0 < median < 0.4


def test_nothing_but_the_model_of_a_star_is_wanting(made):
    told = made.result.told()
    if made.key == "wfpc2":
        # drizzlepac has no models of WFPC2's stars.
        assert told == ["pc: point sources were found without a model of a star"]
    else:
        assert told == []


def separations(found, stars):
    """Shape (rows, stars): mas."""
    ra, dec = np.asarray(found["RA"])[:, None], np.asarray(found["DEC"])[:, None]
    east = (ra - np.asarray(stars["ra"])) * np.cos(np.radians(dec))
    return 3.6e6 * np.hypot(east, dec - np.asarray(stars["dec"]))


def bright_and_alone(made):
    """Indices of the brighter half of the stars that the simulator calls isolated."""
    first = made.positions(str(made.truth.exposures["rootname"][0]))
    alone = first[first["isolated"]]
    bright = alone["id"][alone["counts"] > np.median(alone["counts"])]
    return np.flatnonzero(np.isin(made.truth.stars["id"], bright))

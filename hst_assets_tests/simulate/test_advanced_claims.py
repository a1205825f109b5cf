"""What is claimed of the point catalogues of advanced products, from tables made by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy.table import Table

from hst_assets.failures import UnusableInput
from hst_assets.hap.visits.catalogs import CATALOG_COLUMNS
from hst_assets.products.columns import build_table, write_table
from hst_assets.simulate.recovery import advanced_claims
from hst_assets.workdir import WorkDir

#: Degrees, apart by 3.6 arcsec and more.
STARS = Table({"ra": 150.0 + 0.001 * np.arange(8), "dec": 2.0 + 0.001 * np.arange(8)})
MAX_OFFSET_PIX = 0.1
MAS = 1 / 3.6e6


@pytest.fixture
def workdir(tmp_path):
    return WorkDir(tmp_path, "sn").create()


def claims(workdir, *rows):
    """On a visit whose table of point catalogues has these rows."""
    index = workdir.hap / "iaaa01" / "point_catalogs.ecsv"
    index.parent.mkdir(parents=True, exist_ok=True)
    usual = {
        "file": "",
        "kind": "point",
        "detector": "ir",
        "filter": "total",
        "n_sources": 0,
        "note": "",
        "status": "OK",
        "reason": "",
    }
    write_table(build_table(CATALOG_COLUMNS, [{**usual, **row} for row in rows], {}), index)
    return list(advanced_claims(workdir, SimpleNamespace(stars=STARS), MAX_OFFSET_PIX))


def catalog(workdir, north_mas, detector="ir"):
    """A row whose catalogue has the stars, that far north of their places."""
    path = workdir.hap / "iaaa01" / "total_point-cat.ecsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    Table({"RA": STARS["ra"], "DEC": STARS["dec"] + north_mas * MAS}).write(path)
    return {"file": path.name, "n_sources": len(STARS), "detector": detector}


# A tenth of a native pixel of 128 and of 100 mas.
@pytest.mark.parametrize(("detector", "limit"), [("ir", "13 mas"), ("pc", "10 mas")])
@pytest.mark.parametrize(("north_mas", "holds"), [(8.0, True), (15.0, False)])
def test_sources_are_claimed_where_the_stars_are(workdir, detector, limit, north_mas, holds):
    (claim,) = claims(workdir, catalog(workdir, north_mas, detector))
    assert claim.what == f"HAP: iaaa01, {detector} point sources"
    assert claim.measured == f"8 of 8 are stars, {north_mas:.1f} mas off the truth"
    assert limit in claim.limit
    assert claim.holds == holds


def test_sources_that_are_no_stars_fail_the_claim(workdir):
    (claim,) = claims(workdir, catalog(workdir, 1000.0))
    assert (claim.measured, claim.holds) == ("none of 8 is a star", False)


@pytest.mark.parametrize(
    ("row", "measured"),
    [({"status": "FAIL", "reason": "drizzlepac ended"}, "drizzlepac ended"), ({}, "no source")],
)
def test_a_catalogue_that_failed_or_is_empty_fails_the_claim(workdir, row, measured):
    (claim,) = claims(workdir, row)
    assert (claim.measured, claim.limit) == (measured, "a catalogue with sources")
    assert not claim.holds


def test_catalogues_of_single_filters_are_not_claimed(workdir):
    assert claims(workdir, {"filter": "f160w"}) == []


def test_an_unknown_detector_is_named(workdir):
    with pytest.raises(UnusableInput, match="no detector of this name") as raised:
        claims(workdir, catalog(workdir, 0.0, "foc"))
    assert raised.value.where == "foc"


def test_without_advanced_products_nothing_is_claimed(workdir):
    assert list(advanced_claims(workdir, SimpleNamespace(stars=STARS), MAX_OFFSET_PIX)) == []

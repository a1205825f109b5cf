"""A simulated visit of two filters: what drizzlepac makes in one go, and the pieces."""

import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from typer.testing import CliRunner

from hst_assets.cli.application import application
from hst_assets.simulate.truth import true_offset
from hst_assets_tests.hap.small_visit import POLLER

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("hap")]

PRODUCTS = 28


def test_the_command_ends_with_0_and_tells_what_was_not_checked(pieces):
    folder, answer = pieces
    assert answer.exit_code == 0, answer.output
    assert "0: the products were made" in answer.output
    assert "compare_hla_sourcelists: not checked" in answer.output
    assert answer.output.count("not checked") == 1
    assert "not aligned" not in answer.output
    assert not list(folder.glob(".hap-*"))


def test_all_files_of_the_manifest_are_there(pieces):
    folder, _ = pieces
    names = (folder / "wfc3_sim_01_manifest.txt").read_text().split()
    assert len(names) == PRODUCTS
    assert [name for name in names if not (folder / name).is_file()] == []
    log = (folder / "hst_15999_01_wfc3_ir_total_isim01_trl.txt").read_text()
    assert "==== ir.align" in log


def test_exposures_and_catalogue_are_where_the_truth_has_them(pieces, truth):
    folder, _ = pieces
    for row in truth.exposures:
        (path,) = folder.glob(f"hst_*_{row['rootname'][:8]}_flt.fits")
        offset = true_offset(path, truth.positions(str(row["rootname"])))
        # A fifth of a pixel; the pointing is wrong by 0.14 arcsec.
        assert np.hypot(offset.east_arcsec, offset.north_arcsec) < 0.025
    (total,) = folder.glob("hst_*_total_*_point-cat.ecsv")
    found, stars = Table.read(total), truth.stars
    ra, dec = np.asarray(found["RA"])[:, None], np.asarray(found["DEC"])[:, None]
    east = (ra - np.asarray(stars["ra"])) * np.cos(np.radians(dec))
    apart = 3600.0 * np.hypot(east, dec - np.asarray(stars["dec"])).min(axis=1)
    # Others are galaxies, and pairs of stars closer than a pixel.
    assert np.mean(apart < 0.1) > 0.8


def test_the_parameters_of_every_product_are_written(pieces):
    folder, _ = pieces
    written = json.loads((folder / "parameters.json").read_text())
    assert len(written) == 1 + 2 + 4
    assert all({"parameters", "default_values"} == set(each) for each in written.values())


def test_all_tests_of_quality_leave_their_files(pieces):
    folder, _ = pieces
    names = {path.name.split("_svm_")[1] for path in folder.glob("*_svm_*.json")}
    assert names == {
        "f110w_photometry.json",
        "f160w_photometry.json",
        "gaia_distribution_characterization.json",
        "gaia_sources.json",
        "interfilter_crossmatch.json",
        "num_sources.json",
        "point_segment_crossmatch.json",
        "wcs.json",
    }


def test_a_visit_that_cannot_be_aligned_is_told_and_ends_the_run_if_it_shall(visit, monkeypatch):
    folder = visit()
    before = {path.name for path in folder.iterdir()}
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ASTROMETRIC_CATALOG_URL", "http://127.0.0.1:9")  # nobody answers there
    answer = CliRunner().invoke(application, ["hap", POLLER, "--aligned-only"])
    assert answer.exit_code == 1
    assert answer.output.count("_flt.fits: not aligned to Gaia; its WCS is IDC_") == 4
    assert "1: the run failed" in answer.output
    assert {path.name for path in folder.iterdir()} - before == {"wfc3_sim_01_input.log"}


def test_products_are_those_of_drizzlepac_in_one_go(pieces, visit, stars, drizzlepac):
    made, _ = pieces
    folder = visit()
    environment = {**stars, "SVM_QUALITY_TESTING": "off"}
    assert drizzlepac("whole_visit", {"poller": POLLER}, folder, environment) == 0
    names = (folder / "wfc3_sim_01_manifest.txt").read_text()
    assert (made / "wfc3_sim_01_manifest.txt").read_text() == names
    images = [name for name in names.split() if name.endswith(".fits")]
    assert len(images) == PRODUCTS - 6 - 7
    for name in images:
        _assert_same_pixels(folder / name, made / name)
    catalogs = [name for name in names.split() if name.endswith(".ecsv")]
    assert len(catalogs) == 6
    for name in catalogs:
        _assert_same_rows(folder / name, made / name)


def _assert_same_pixels(expected, made):
    with fits.open(expected) as theirs, fits.open(made) as ours:
        assert [hdu.name for hdu in theirs] == [hdu.name for hdu in ours]
        for one, other in zip(theirs, ours, strict=True):
            if one.name in ("SCI", "WHT", "CTX", "ERR", "DQ"):
                np.testing.assert_array_equal(one.data, other.data)
        if "SCI" in theirs:
            for keyword in ("WCSNAME", "CRVAL1", "CRPIX1", "CD1_1", "SKYCELL", "MDRIZSKY"):
                assert theirs["SCI"].header.get(keyword) == ours["SCI"].header.get(keyword)
        # Of an exposure's image, the last two are not written.
        for keyword in ("HAPLEVEL", "DRIZPARS", "NUMEXP", "FILTER", "MEANEXPT", "MEDWHT"):
            assert theirs[0].header.get(keyword) == ours[0].header.get(keyword)


def _assert_same_rows(expected, made):
    theirs, ours = Table.read(expected), Table.read(made)
    assert theirs.colnames == ours.colnames
    assert len(theirs) == len(ours) > 100
    for name in theirs.colnames:
        np.testing.assert_array_equal(theirs[name], ours[name])

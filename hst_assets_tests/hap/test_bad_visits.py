"""Visits that cannot be made, or not all of them: what is told, and what is left."""

import shutil
from dataclasses import replace

import pytest
from astropy.io import fits
from typer.testing import CliRunner

from hst_assets.cli.application import application
from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.hap.run import make_advanced_products
from hst_assets.settings import HapSettings
from hst_assets.simulate.plans import small_plan
from hst_assets_tests.stand_ins.star_service import star_service

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("hap")]

NOBODY = "http://127.0.0.1:9"
POLLER = "visit_input.out"


def folder_with(paths, folder):
    """The exposures and their poller; the names of what is there."""
    for path in paths:
        shutil.copy(path, folder)
    (folder / POLLER).write_text("".join(f"{path.name}\n" for path in paths))
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def truth(simulated):
    return simulated(small_plan("wfc3_ir", filters=("F110W", "F160W")))


@pytest.fixture
def exposures(truth, tmp_path):
    """Two exposures of one filter, in a folder of their own."""
    folder_with(truth.science_files()[:2], tmp_path)
    return [tmp_path / path.name for path in truth.science_files()[:2]]


def spoiled(path, **cards):
    for keyword, value in cards.items():
        fits.setval(path, keyword, value=value)


@pytest.mark.parametrize(
    ("cards", "reason"),
    [
        ({"MTFLAG": "T"}, "MTFLAG=T"),
        ({"EXPTIME": 0.0}, "EXPTIME=0.0"),
        ({"OBSTYPE": "SPECTROSCOPIC"}, "OBSTYPE=SPECTROSCOPIC"),
    ],
)
def test_a_visit_of_which_nothing_is_taken_ends_with_65_and_the_reasons(
    exposures, monkeypatch, cards, reason
):
    folder = exposures[0].parent
    for path in exposures:
        spoiled(path, **cards)
    before = {path.name for path in folder.iterdir()}
    monkeypatch.chdir(folder)
    answer = CliRunner().invoke(application, ["hap", POLLER])
    assert answer.exit_code == 65, answer.output
    assert answer.output.count(f"not taken by HAP ({reason})") == 2
    assert "65: the visit has no exposure that can be drizzled" in answer.output
    # As runsinglehap leaves it.
    assert {path.name for path in folder.iterdir()} - before == {"wfc3_sim_01_manifest.txt"}
    assert (folder / "wfc3_sim_01_manifest.txt").read_text() == ""


def test_an_exposure_that_is_not_there_is_named_before_anything_is_made(exposures):
    exposures[1].unlink()
    folder = exposures[0].parent
    before = {path.name for path in folder.iterdir()}
    with pytest.raises(MissingProduct, match="line 2 of the poller"):
        make_advanced_products(folder / POLLER, folder=folder)
    assert {path.name for path in folder.iterdir()} == before


def test_an_exposure_without_a_keyword_is_named_before_anything_is_made(exposures):
    fits.delval(exposures[1], "SCAN_TYP")
    folder = exposures[0].parent
    before = {path.name for path in folder.iterdir()}
    with pytest.raises(UnusableInput, match="HAP needs SCAN_TYP") as told:
        make_advanced_products(folder / POLLER, folder=folder)
    assert exposures[1].name in str(told.value)
    assert {path.name for path in folder.iterdir()} == before


def test_a_damaged_exposure_fails_the_run_and_leaves_its_log(exposures):
    exposures[1].write_bytes(exposures[1].read_bytes()[:6000])
    folder = exposures[0].parent
    result = make_advanced_products(folder / POLLER, folder=folder)
    assert result.code == 1
    assert result.failure is not None
    assert [path.name for path in result.products] == ["visit_input.log"]


def test_one_exposure_without_a_star_service_keeps_its_wcs_and_says_so(exposures, monkeypatch):
    moving, single = exposures
    spoiled(moving, MTFLAG="T")
    came_with = fits.getval(single, "CRVAL1", ("SCI", 1))
    folder = single.parent
    monkeypatch.setenv("ASTROMETRIC_CATALOG_URL", NOBODY)
    result = make_advanced_products(
        folder / POLLER,
        folder=folder,
        settings=HapSettings(photometry="aperture", accept_a_priori_wcs=True),
    )
    assert result.code == 0, result.failure
    assert result.rejected == {moving.name: "MTFLAG=T"}
    (name,) = result.not_aligned
    assert fits.getval(folder / name, "CRVAL1", ("SCI", 1)) == came_with
    assert not list(folder.glob("*_hlet.fits"))
    told = "\n".join(result.told())
    assert f"{name}: not aligned to Gaia; its WCS is IDC_" in told
    assert "ir: the star catalogue did not answer (ConnectionError from http://127.0.0.1:9" in told
    assert f"{moving.name}: not taken by HAP (MTFLAG=T)" in told
    # Of one exposure, total, filter and exposure are the same sky.
    assert len(list(folder.glob("hst_*_drz.fits"))) == 3
    assert all(rows > 30 for rows in result.catalogs.values()), result.catalogs


def test_an_empty_field_has_empty_catalogues_and_no_alignment(simulated, tmp_path, monkeypatch):
    plan = small_plan("wfc3_ir", filters=("F110W",))
    empty = replace(plan.scene, n_stars=0, n_isolated=0, n_galaxies=0)
    truth = simulated(replace(plan, scene=empty, name="empty"))
    folder_with(truth.science_files(), tmp_path)
    with star_service(truth.stars, "ab_wfc3_ir_f110w").running() as server:
        monkeypatch.setenv("ASTROMETRIC_CATALOG_URL", server.url)
        result = make_advanced_products(tmp_path / POLLER, folder=tmp_path)
    assert result.code == 0, result.failure
    assert len(result.not_aligned) == 2
    assert result.notes == {}
    assert set(result.empty_catalogs) == set(result.catalogs)
    assert len(result.catalogs) == 4
    assert sum("no source" in line for line in result.told()) == 4


def test_fewer_than_12_stars_of_the_catalogue_are_no_alignment(simulated, tmp_path, monkeypatch):
    # Why ACS/HRC often is not aligned: HAP tries no fit then, with whatever detector.
    truth = simulated(small_plan("acs_hrc", filters=("F606W", "F814W")))
    folder_with(truth.science_files()[:2], tmp_path)
    names = truth.positions(str(truth.exposures["rootname"][0]))["id"]
    stars = truth.stars[[int(name) for name in names[:11]]]
    settings = HapSettings(accept_a_priori_wcs=False)
    with star_service(stars, "ab_acs_hrc_f606w").running() as server:
        monkeypatch.setenv("ASTROMETRIC_CATALOG_URL", server.url)
        result = make_advanced_products(tmp_path / POLLER, folder=tmp_path, settings=settings)
    assert result.code == 1
    assert "not aligned to Gaia" in str(result.failure)
    assert len(result.not_aligned) == 2
    log = (tmp_path / "visit_input.log").read_text()
    assert "Number of sources for reference catalog 'GAIAeDR3' is 11" in log
    assert "Not enough reference sources for alignment using catalog 'GAIAeDR3'" in log

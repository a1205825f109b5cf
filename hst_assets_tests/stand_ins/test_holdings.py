"""What a stand-in archive holds, from files of disk and made on the spot."""

import io
from itertools import pairwise

import pytest
from astropy.io import fits
from astropy.time import Time

from hst_assets.detectors import DETECTORS
from hst_assets.exposures.dq_files import companion_of
from hst_assets.exposures.footprint import parse_footprint, signed_distance_arcsec
from hst_assets.exposures.header import read_exposure
from hst_assets.exposures.verification import verify_exposure
from hst_assets.simulate.plans import small_plan
from hst_assets_tests.stand_ins.holdings import Holdings, now_mjd
from hst_assets_tests.stand_ins.tiny_exposures import tiny_exposure

RA, DEC = 150.1, 2.2
_LETTERS = {"WFC3": "i", "ACS": "j", "WFPC2": "u"}
#: One exposure of each detector, each of a visit of its own.
ROOTNAMES = {
    key: f"{_LETTERS[row.instrument]}sim{number:02d}abq"
    for number, (key, row) in enumerate(DETECTORS.items(), start=1)
}


@pytest.fixture
def folder(tmp_path):
    """Writes a small exposure's files to disk; the path of the first."""

    def write(key, **options):
        files = tiny_exposure(ROOTNAMES[key], key, RA, DEC, **options)
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        return tmp_path / next(iter(files))

    return write


@pytest.mark.parametrize("key", DETECTORS)
def test_small_exposures_are_what_the_pipeline_takes(folder, key):
    path = folder(key, mjd=59001.5, exptime_s=120.0, proposal="14000")
    exposure = verify_exposure(path, companion_of(path))
    assert exposure.detector.key == key
    assert (exposure.rootname, exposure.mjd_start, exposure.exptime_s) == (
        ROOTNAMES[key],
        59001.5,
        120.0,
    )
    assert signed_distance_arcsec(exposure.polygons, RA, DEC) > 0


@pytest.mark.parametrize("key", DETECTORS)
def test_an_exposure_of_disk_is_described_by_its_header(folder, key):
    path = folder(key, mjd=59001.5, exptime_s=120.0, proposal="14000")
    row = Holdings().add_file(path).row
    detector = DETECTORS[key]
    assert row["obs_id"] == ROOTNAMES[key]
    assert row["instrument_name"].startswith(detector.instrument)
    assert detector.filter_of(row["filters"].split(";"))
    assert (row["t_min"], row["t_exptime"], row["proposal_id"]) == (59001.5, 120.0, "14000")
    assert row["t_obs_release"] > row["t_max"]
    polygons = read_exposure(path).polygons
    (first, *_), (again, *_) = polygons, parse_footprint(row["s_region"])
    # Seven decimals of a degree.
    assert first == pytest.approx(again, abs=1e-7)


def test_a_simulated_exposure_is_held(simulated):
    truth = simulated(small_plan("wfc3_uvis", n_exposures=1))
    (kept,) = Holdings(noise=False).add_folder(truth.root)
    assert (kept.row["instrument_name"], kept.visit) == ("WFC3/UVIS", "isim01")
    polygons = parse_footprint(kept.row["s_region"])
    # The plan aims at this position; 512 pixels of 0.04 arcsec.
    assert 5 < signed_distance_arcsec(polygons, 150.1, 2.2) < 11


def test_a_wfpc2_exposure_has_both_files(folder):
    holdings = Holdings(noise=False)
    kept = holdings.add_file(folder("wfpc2"))
    names = [f"{ROOTNAMES['wfpc2']}_{suffix}.fits" for suffix in ("c0m", "c1m")]
    assert [product["productFilename"] for product in kept.products] == names
    assert holdings.file_names() == names


def test_a_folder_of_exposures(folder):
    for key in DETECTORS:
        folder(key)
    holdings = Holdings(noise=False)
    holdings.add_folder(folder("acs_hrc").parent)
    assert {each.obs_id for each in holdings.observations()} == set(ROOTNAMES.values())


def test_announced_sizes_are_those_of_the_bytes(folder):
    path = folder("acs_wfc")
    (product,) = Holdings(noise=False).add_file(path).products
    assert product["size"] == path.stat().st_size


def test_an_announced_footprint_is_a_full_one():
    row = Holdings().add_synthetic("jaaa01aaq", "acs_wfc", RA, DEC).row
    # Half of 4096 pixels of 0.05 arcsec.
    depth = signed_distance_arcsec(parse_footprint(row["s_region"]), RA, DEC)
    assert depth == pytest.approx(102.4, rel=0.02)


def test_another_salt_gives_another_content_of_the_same_size():
    one, other = (
        tiny_exposure("jaaa01aaq", "acs_wfc", RA, DEC, salt=salt)["jaaa01aaq_flc.fits"]
        for salt in (0, 1)
    )
    assert one != other
    assert len(one) == len(other)


def test_advanced_products_repeat_an_exposure_under_eight_characters():
    holdings = Holdings()
    kept = holdings.add_synthetic("jaaa01aaq", "acs_wfc", RA, DEC)
    copies = [each for each in holdings.observations() if each.row["project"] == "HAP"]
    assert [each.obs_id.rpartition("_")[2] for each in copies] == ["jaaa01aa", "jaaa01"]
    assert {each.row["instrument_name"] for each in copies} == {"ACS/WFC"}
    listed = [product["productFilename"] for product in kept.products]
    assert "hst_12345_01_acs_wfc_f606w_jaaa01aa_flc.fits" in listed


def test_a_visit_without_noise_is_its_exposures():
    holdings = Holdings(noise=False)
    holdings.add_visit("iaaa01", "wfc3_uvis", RA, DEC, n_exposures=30)
    assert len(holdings.observations()) == 30
    rows = [each.row for each in holdings.observations()]
    assert all(one["t_max"] < next_["t_min"] for one, next_ in pairwise(rows))


def test_what_is_hidden_appears_when_it_is_released():
    holdings = Holdings()
    holdings.add_visit("iaaa01", "wfc3_uvis", RA, DEC, hidden=True)
    assert holdings.observations() == []
    assert holdings.products_of({str(n) for n in range(2_003_500_000, 2_003_500_020)}) == []
    before = now_mjd()
    holdings.release("iaaa01")
    found = {each.obs_id: each.row for each in holdings.observations()}
    assert {"iaaa01aaq", "iaaa01abq"} <= set(found)
    assert before <= found["iaaa01aaq"]["t_obs_release"] <= now_mjd()


def test_one_exposure_may_be_released_at_a_moment():
    holdings = Holdings(noise=False)
    holdings.add_visit("iaaa01", "wfc3_uvis", RA, DEC, hidden=True)
    holdings.release("iaaa01abq", 60000.5)
    (found,) = holdings.observations()
    assert (found.obs_id, found.row["t_obs_release"]) == ("iaaa01abq", 60000.5)


def test_hiding_takes_a_visit_away():
    holdings = Holdings()
    holdings.add_visit("iaaa01", "wfc3_uvis", RA, DEC)
    holdings.hide("iaaa01")
    assert holdings.observations() == []


def test_a_new_release_has_another_content_size_and_date():
    holdings = Holdings(noise=False)
    holdings.add_synthetic("jaaa01aaq", "acs_wfc", RA, DEC)
    name = "jaaa01aaq_flc.fits"
    before = holdings.files.files[name].etag
    larger = tiny_exposure("jaaa01aaq", "acs_wfc", RA, DEC, side_pix=64)[name]
    holdings.replace_file(name, larger, 60000.5)
    (found,) = holdings.observations()
    assert found.row["t_obs_release"] == 60000.5
    assert found.products[0]["size"] == len(larger)
    assert holdings.files.files[name].etag != before


def test_what_is_said_of_a_file_may_be_wrong():
    holdings = Holdings(noise=False)
    holdings.add_synthetic("jaaa01aaq", "acs_wfc", RA, DEC)
    holdings.change_product("jaaa01aaq_flc.fits", size=17, productFilename="../evil_flc.fits")
    (found,) = holdings.observations()
    assert found.products[0]["size"] == 17
    assert found.products[0]["productFilename"] == "../evil_flc.fits"
    assert holdings.file_names() == ["jaaa01aaq_flc.fits"]


def test_a_name_that_is_not_held_is_refused():
    with pytest.raises(KeyError):
        Holdings().release("zzzz99")


def test_small_exposures_are_whole_fits_files():
    (content,) = tiny_exposure("jaaa01aaq", "acs_wfc", RA, DEC, mjd=59001.5).values()
    with fits.open(io.BytesIO(content)) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "ERR", "DQ"]
        primary = hdus[0].header
    assert Time(f"{primary['DATE-OBS']}T{primary['TIME-OBS']}").mjd == pytest.approx(59001.5)
    assert len(content) % 2880 == 0

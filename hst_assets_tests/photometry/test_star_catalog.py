"""The catalogue as an asset: what is made of the photometer's files, and when it is made again."""

import shutil

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from hst_assets.failures import BadConfiguration
from hst_assets.photometry.catalog.bands import bands_of, by_wavelength
from hst_assets.photometry.star_catalog import make_star_catalog
from hst_assets.products.columns import read_table
from hst_assets.settings import load_settings, write_settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.photometry.catalog.made_catalogs import made_columns
from hst_assets_tests.photometry.dolphot.small_field import small_field
from hst_assets_tests.stand_ins.measuring_dolphot import N_STARS, MeasuringDolphot


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("catalog")
    program = MeasuringDolphot(folder / "bin")
    workdir = small_field(folder / "root")
    write_settings(workdir, {"dolphot": {"program": str(program.path)}})
    return workdir, program, make_star_catalog(workdir, load_settings(workdir))


@pytest.fixture
def target(measured, tmp_path):
    """The same in a folder of its own; the runs seen so far are forgotten."""
    workdir, program, _ = measured
    shutil.copytree(workdir.root, tmp_path / "root")
    (program.folder / "runs.jsonl").unlink(missing_ok=True)
    return WorkDir(tmp_path / "root", workdir.target), program


def again(workdir, **options):
    return make_star_catalog(workdir, load_settings(workdir), **options)


def test_the_index_names_the_catalogue_and_counts(measured):
    workdir, _, _ = measured
    (row,) = read_table(workdir.star_catalog)
    assert row["file"] == "dolphot/dp0000"
    assert row["n_objects"] == row["n_stars"] == N_STARS
    assert row["filters"] == "WFC3_F606W WFC3_F814W"
    assert row["photometer"].startswith("DOLPHOT")


def test_the_catalogue_is_hdf5_too_and_whole(measured):
    workdir, _, _ = measured
    with h5py.File(workdir.dolphot / "dp0000.h5") as file:
        assert len(file["photometry"]) == N_STARS
        assert file["photometry"].attrs["dolphot_base"] == "dp0000"


def test_the_hdf5_catalogue_has_positions_and_ab_magnitudes(measured):
    """At X = Y = 75 is the middle of the field (CRPIX, which counts from 1, is 75 + 0.5 - 0.5)."""
    workdir, _, _ = measured
    table = QTable.read(workdir.dolphot / "dp0000.h5", path="photometry")
    scale = 0.04 / 3600
    assert np.allclose(table["dec"].value, 2.0 + (table["y"].value + 0.5 - 75) * scale, atol=1e-8)
    east = (table["ra"].value - 150.0) * np.cos(np.radians(2.0))
    assert np.allclose(east, -(table["x"].value + 0.5 - 75) * scale, atol=1e-8)
    offset = (table["f814w_ab_mag"] - table["f814w_vega_mag"]).value
    assert np.allclose(offset, 0.42, atol=0.02)  # WFC3 handbook: 25.13 AB, 24.70 Vega


def test_what_is_shown(measured):
    workdir, _, made = measured
    assert made.facts["previews"] == ["dolphot/dp0000.cmd.png"]
    assert (workdir.base / made.facts["previews"][0]).is_file()
    assert made.facts["filters"] == [
        {"filter": "WFC3_F606W", "n_stars": N_STARS},
        {"filter": "WFC3_F814W", "n_stars": N_STARS},
    ]
    assert made.facts["cuts"][0]["removed_first"] == 0


def test_libraries_that_were_not_looked_for_are_not_said_to_be_there(measured):
    _, _, made = measured
    assert "libraries_not_found" not in made.facts  # a script tells of no folder


def test_residuals_are_shown_of_one_image_a_filter(target):
    """The images of the stand-in are of F814W, F606W, F814W, F606W; the first has no picture."""
    workdir, _ = target
    for number in (2, 3, 4):
        residual = np.random.default_rng(number).normal(size=(20, 20))
        fits.writeto(workdir.dolphot / f"dp0000.{number}.res.fits", residual)
    write_settings(workdir, {"photometry": {"hdf5": False}})
    assert again(workdir).facts["previews"][1:] == ["dolphot/dp0000.2.res.png"]


def test_what_is_up_to_date_is_not_made_again(target):
    workdir, program = target
    assert not again(workdir).ran
    assert program.runs == []


def test_another_cut_measures_nothing_and_changes_no_file_of_the_photometers(target):
    workdir, program = target
    before = (workdir.dolphot / "dp0000").read_bytes()
    write_settings(workdir, {"quality_cuts": {"min_snr": 60.0}})
    made = again(workdir)
    assert made.facts["n_stars"] == 0  # all have 50
    assert made.facts["n_objects"] == N_STARS
    assert program.runs == []
    assert (workdir.dolphot / "dp0000").read_bytes() == before


def test_another_name_is_another_run_and_keeps_the_first(target):
    workdir, program = target
    write_settings(workdir, {"dolphot": {"base": "deep"}})
    made = again(workdir)
    assert made.facts["file"] == "dolphot/deep0000"
    assert len(program.runs) == 1
    assert (workdir.dolphot / "dp0000").is_file()
    (row,) = read_table(workdir.star_catalog)
    assert row["hdf5"] == "dolphot/deep0000.h5"


def test_without_hdf5_there_is_none(target):
    workdir, _ = target
    assert (workdir.dolphot / "dp0000.h5").is_file()  # of before: it would be another catalogue's
    write_settings(workdir, {"photometry": {"hdf5": False}})
    assert again(workdir).ran
    assert not (workdir.dolphot / "dp0000.h5").exists()


def test_a_filter_of_one_image_is_counted_and_drawn(target):
    """The bluest of three, which has no columns but those of its image."""
    workdir, program = target
    program.will(single=1)
    made = again(workdir, redo=True)
    program.will()
    (row,) = read_table(workdir.star_catalog)
    assert row["filters"] == "WFC3_F606W WFC3_F814W WFC3_F438W"
    assert made.facts["filters"][-1] == {"filter": "WFC3_F438W", "n_stars": N_STARS}


@pytest.mark.parametrize(
    ("instrument", "names"),
    [
        ("WFPC2", ["F170W", "F555W", "F1042M"]),
        ("WFC3", ["F275W", "F814W", "F098M", "F160W"]),
    ],
)
def test_filters_are_sorted_by_wavelength(instrument, names):
    """WFPC2's F170W is far ultraviolet, WFC3's F160W is infrared."""
    columns = made_columns(sorted(names, reverse=True), prefix=f"{instrument}_")
    found = sorted(bands_of(columns), key=by_wavelength)
    assert [band.filter_name for band in found] == names


def test_again_measures_again(target):
    workdir, program = target
    assert again(workdir, redo=True).ran
    assert len(program.runs) == 1


def test_a_cut_without_a_limit_is_told(target):
    workdir, _ = target
    write_settings(workdir, {"quality_cuts": {"max_crowding_mag": {"acs_wfc": 1.0}}})
    with pytest.raises(BadConfiguration, match="max_crowding_mag"):
        again(workdir)

"""Layers and their grid are drizzlepac's; nothing is drizzled here."""

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.hap.mosaics.grid import extent_of, sky_cell_wcs
from hst_assets.hap.mosaics.layers import (
    PIXEL_SCALES_ARCSEC,
    mosaic_input,
    mosaic_layers,
    poller_of_sky_cell,
)
from hst_assets.hap.poller import read_poller, write_poller

pytestmark = pytest.mark.xdist_group("hap")

CELL = "skycell-p1360x10y10"
#: Several visits and instruments, files of two kinds, a polarizer, a grism, a ramp.
CROSSED = [
    ("hst_12345_01_wfc3_ir_f110w_iaaa01a0_flt.fits", "IR", "F110W"),
    ("hst_12345_02_wfc3_ir_f110w_iaaa02a0_flt.fits", "IR", "F110W"),
    ("hst_12345_02_wfc3_ir_f160w_iaaa02a1_flt.fits", "IR", "F160W"),
    ("hst_12345_02_wfc3_ir_g102_iaaa02a2_flt.fits", "IR", "G102"),
    ("hst_12345_01_acs_wfc_fr656n_jaaa01a1_flc.fits", "WFC", "FR656N;CLEAR2L"),
    ("hst_12345_03_wfc3_uvis_f606w_iaaa03a0_flc.fits", "UVIS", "F606W"),
    ("hst_12345_04_wfc3_uvis_f606w_iaaa04a0_flt.fits", "UVIS", "F606W"),
    ("hst_12345_04_wfc3_uvis_f814w_iaaa04a1_flt.fits", "UVIS", "F814W"),
    ("hst_12345_01_acs_wfc_f606w-pol0v_jaaa01a0_flc.fits", "WFC", "POL0V;F606W"),
    ("hst_12345_02_acs_hrc_f606w_jaaa02a0_flt.fits", "HRC", "F606W;CLEAR2S"),
    ("hst_12345_01_wfpc2_pc_f606w_uaaa01a0_flt.fits", "PC", "F606W"),
]
UVIS = CROSSED[5]


@pytest.fixture
def crossed(svm_exposure):
    cards = {"G102": {"OBSTYPE": "SPECTROSCOPIC"}}  # as all real ones
    return [mosaic_input(svm_exposure(*each, **cards.get(each[-1], {}))) for each in CROSSED]


def test_layers_are_drizzlepacs(crossed, tmp_path, mosaic_code):
    write_poller(poller_of_sky_cell(crossed, CELL), tmp_path / "poller.csv")
    told = mosaic_code("layers_of", {"poller": "poller.csv"}, tmp_path)
    layers = mosaic_layers(crossed)
    assert {layer.drizzled_file for layer in layers} == set(told)
    for layer in layers:
        expected = told[layer.drizzled_file]
        assert (layer.basename, layer.trailer_file) == (expected["basename"], expected["trailer"])
        assert layer.haplevel == expected["level"] == 4
        assert PIXEL_SCALES_ARCSEC[layer.scale] == expected["scale"]
        names = sorted(one.path.name.rpartition("_")[0] for one in layer.members)
        assert names == expected["members"]
        assert f"{layer.skycell}_manifest.txt" == expected["manifest"]


def test_infrared_and_planetary_camera_have_coarse_layers(crossed):
    scales = {}
    for layer in mosaic_layers(crossed):
        scales.setdefault(layer.detector, set()).add(layer.scale)
    both = {"coarse", "fine"}
    assert scales == {"ir": both, "pc": both, "uvis": {"fine"}, "wfc": {"fine"}, "hrc": {"fine"}}


def test_a_layer_has_the_exposures_of_all_visits(crossed):
    (layer, _) = [each for each in mosaic_layers(crossed) if each.filter == "f110w"]
    assert layer.visits == ("iaaa01", "iaaa02")


def test_files_that_are_not_corrected_do_not_count_beside_those_that_are(crossed):
    (layer,) = [each for each in mosaic_layers(crossed) if each.basename.endswith("uvis_f606w_all")]
    assert [one.visit for one in layer.members] == ["iaaa03"]
    assert layer.kind == "drc"


def test_switches_leave_out_small_detectors_and_what_is_not_corrected(crossed):
    layers = mosaic_layers(crossed, small_detectors=False, cte_only=True)
    named = {(layer.detector, layer.filter) for layer in layers}
    assert ("hrc", "f606w") not in named
    assert ("uvis", "f814w") not in named
    assert ("uvis", "f606w") in named
    assert ("ir", "f110w") in named


def test_an_exposure_on_the_border_is_in_the_layers_of_each_sky_cell(svm_exposure):
    path = svm_exposure(*UVIS, skycells="p1360x10y10; p1360x11y10")
    assert [layer.skycell for layer in mosaic_layers([path])] == [CELL, "skycell-p1360x11y10"]


def test_the_poller_of_a_sky_cell_reads_as_it_was_written(crossed, tmp_path):
    rows = poller_of_sky_cell(crossed, CELL)
    write_poller(rows, tmp_path / "poller.csv")
    assert read_poller(tmp_path / "poller.csv") == rows
    assert all(row.is_new and row.skycell_id == CELL for row in rows)
    with pytest.raises(UnusableInput, match="reaches into"):
        poller_of_sky_cell(crossed, "skycell-p0001x01y01")


@pytest.mark.parametrize(
    ("cards", "told"), [({"HAPLEVEL": 2}, "HAPLEVEL is 2"), ({"skycells": "p1"}, "SKYCELL")]
)
def test_an_exposure_without_the_headers_of_a_single_visit_is_refused(svm_exposure, cards, told):
    path = svm_exposure(*CROSSED[0], **cards)
    with pytest.raises(UnusableInput, match=told):
        mosaic_input(path)


def test_an_exposure_of_the_archive_is_refused_with_what_to_do(svm_exposure, tmp_path):
    path = svm_exposure(*CROSSED[0])
    fits.delval(path, "SKYCELL", ("SCI", 1))
    with pytest.raises(UnusableInput, match="SKYCELL") as refused:
        mosaic_input(path)
    assert "hst-assets hap POLLER" in str(refused.value)
    path.rename(tmp_path / "iaaa01a0q_flt.fits")
    with pytest.raises(UnusableInput, match="as a single visit leaves them"):
        mosaic_input(tmp_path / "iaaa01a0q_flt.fits")
    with pytest.raises(MissingProduct):
        mosaic_input(path)


@pytest.mark.parametrize("scale", ["fine", "coarse"])
@pytest.mark.parametrize("name", [CELL, "skycell-p0001x01y21"])
def test_the_grid_is_drizzlepacs(mosaic_code, name, scale):
    told = mosaic_code("sky_cell", {"name": name, "scale": scale})
    wcs = sky_cell_wcs(name, scale)
    assert wcs.wcs.crpix.tolist() == told["crpix"]
    assert wcs.wcs.crval.tolist() == told["crval"]
    # The same number but for its last digit.
    assert wcs.wcs.cd.ravel() == pytest.approx(np.ravel(told["cd"]), rel=1e-14)
    assert list(wcs.pixel_shape) == told["shape"]


def test_neighbours_share_the_grid_of_fine_pixels():
    one, other = (sky_cell_wcs(f"skycell-p1360x{x}y10", "fine") for x in (10, 11))
    step = (one.wcs.crpix - other.wcs.crpix).tolist()
    assert step == [21442.0, 0.0]
    assert one.wcs.crval.tolist() == other.wcs.crval.tolist()


def test_the_size_of_a_layer_is_told_from_outlines(svm_exposure):
    wcs = sky_cell_wcs(CELL, "fine")
    corners = wcs.all_pix2world([[100, 200], [600, 200], [600, 900], [100, 900]], 0)
    region = "POLYGON ICRS " + " ".join(f"{ra} {dec}" for ra, dec in corners)
    path = svm_exposure(*UVIS)
    without = mosaic_input(path)
    fits.setval(path, "S_REGION", value=region, ext=("SCI", 1))
    nx, ny = extent_of([mosaic_input(path)], CELL, "fine")
    assert (nx, ny) == (pytest.approx(501, abs=1), pytest.approx(701, abs=1))
    assert extent_of([without], CELL, "fine") == wcs.pixel_shape  # nobody knows: all of it

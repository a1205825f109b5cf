"""What is refused before a mosaic is made, and with which numbers drizzlepac ends."""

import pytest
from typer.testing import CliRunner

from hst_assets.cli.application import application
from hst_assets.failures import BadConfiguration, MissingProduct, NoOverlap, UnusableInput
from hst_assets.hap.mosaics.drizzle import (
    LayerRequest,
    failure_of,
    layer_memory_bytes,
    parameters_in,
)
from hst_assets.hap.mosaics.layers import mosaic_input, mosaic_layers, poller_of_sky_cell
from hst_assets.hap.mosaics.mosaic import make_mosaics
from hst_assets.hap.mosaics.run import make_sky_cell, run_multi_visit
from hst_assets.hap.poller import poller_text, read_poller
from hst_assets.settings import HapSettings, MachineSettings
from hst_assets.workdir import WorkDir

pytestmark = pytest.mark.xdist_group("hap")

CELL = "skycell-p1360x10y10"
NAME = "hst_12345_01_wfc3_ir_f110w_iaaa01a0_flt.fits"
HRC = "hst_12345_02_acs_hrc_f606w_jaaa02a0_flt.fits"


@pytest.fixture
def exposure(svm_exposure):
    return svm_exposure(NAME, "IR", "F110W")


@pytest.fixture
def poller(exposure, tmp_path):
    """The poller of the exposure; of another text if one is given."""

    def of(text=None):
        path = tmp_path / f"{CELL}_input.out"
        rows = poller_of_sky_cell([mosaic_input(exposure)], CELL)
        path.write_text(text or poller_text(rows))
        return path

    return of


def line_of(poller):
    return poller().read_text().strip()


def test_a_poller_of_several_sky_cells_is_refused(poller):
    line = line_of(poller)
    path = poller(f"{line}\n{line.replace('x10y10', 'x11y10')}\n")
    with pytest.raises(UnusableInput, match="line 2 is of skycell-p1360x11y10"):
        make_sky_cell(path)


def test_drizzlepac_puts_exposures_of_several_sky_cells_into_the_first(poller, mosaic_code):
    line = line_of(poller)
    other = line.replace("iaaa01", "iaaa02").replace("x10y10", "x11y10")
    rows = [f"{each.rpartition(',')[0]},{__file__}" for each in (line, other)]
    told = mosaic_code("cells_of_a_mixed_poller", {"rows": rows})
    assert {cell for _, cell in told} == {CELL}
    assert len(told) == 2


def test_drizzlepac_stumbles_over_a_grism_that_calls_itself_imaging(svm_exposure, mosaic_code):
    grism = svm_exposure(NAME.replace("f110w", "g102"), "IR", "G102")
    told = mosaic_code("raised_by_a_grism", {"exposure": grism.name}, grism.parent)
    assert "NoneType" in told
    assert mosaic_layers([grism]) == ()


def test_the_poller_of_a_visit_is_refused(poller):
    with pytest.raises(BadConfiguration, match="poller of a visit"):
        make_sky_cell(poller("iaaa01a0q_flt.fits\n"))


def test_a_bad_line_is_refused_with_its_number(poller):
    with pytest.raises(UnusableInput, match="line 1 has 'YES', neither NEW nor OLD"):
        make_sky_cell(poller(line_of(poller).replace("NEW", "YES")))


def test_exposures_of_several_instruments_are_one_sky_cell(poller, svm_exposure):
    hrc = mosaic_input(svm_exposure(HRC, "HRC", "F606W;CLEAR2S"))
    path = poller(f"{line_of(poller)}\n{poller_text(poller_of_sky_cell([hrc], CELL))}")
    assert [row.instrument for row in read_poller(path)] == ["WFC3", "ACS"]


def test_an_exposure_that_is_not_there_is_missing(poller, exposure):
    path = poller()
    exposure.unlink()
    with pytest.raises(MissingProduct, match="line 1"):
        make_sky_cell(path)


@pytest.mark.parametrize(
    ("text", "environ", "code"),
    [
        ("OLD", {}, 65),
        ("HRC", {"MVM_INCLUDE_SMALL": "no"}, 55),
        ("SBC", {"MVM_INCLUDE_SMALL": "no"}, 55),
    ],
)
def test_nothing_to_make_has_drizzlepacs_number(poller, svm_exposure, text, environ, code):
    path = poller()
    if text == "OLD":
        path.write_text(path.read_text().replace("NEW", "OLD"))
    else:
        elements = {"HRC": "F606W;CLEAR2S", "SBC": "F125LP;N/A"}[text]
        small = mosaic_input(svm_exposure(HRC, text, elements))
        path.write_text(poller_text(poller_of_sky_cell([small], CELL)))
    result = make_sky_cell(path, folder=path.parent, environ=environ)
    assert result.code == code
    log, manifest = result.products
    assert (log.name, manifest.name) == (f"{CELL}_input.log", f"{CELL}_manifest.txt")
    assert manifest.read_text() == ""


def test_runmultihap_ends_with_the_same_number(poller, mosaic_code):
    path = poller()
    path.write_text(path.read_text().replace("NEW", "OLD"))
    told = mosaic_code("exit_of_runmultihap", {"poller": path.name}, path.parent)
    assert told == ["int", "65"]


def test_a_layer_of_which_drizzlepac_takes_no_exposure_is_65(poller, svm_exposure, tmp_path):
    omitted = mosaic_input(svm_exposure(HRC, "HRC", "F606W;CLEAR2S", DRIZCORR="OMIT"))
    path = tmp_path / "omitted.out"
    path.write_text(poller_text(poller_of_sky_cell([omitted], CELL)))
    result = make_sky_cell(path, folder=tmp_path)
    assert result.code == 65
    assert "DRIZCORR=OMIT" in result.rejected[HRC]
    assert not list(tmp_path.glob(".hap-*"))


def test_a_new_alignment_is_refused():
    with pytest.raises(BadConfiguration, match="visit by visit"):
        run_multi_visit("poller.out", skip_gaia_alignment=False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--multi", "-p", "both"], "mosaics have no catalogues"),
        (["-s"], "only mosaics keep the WCS"),
    ],
)
def test_options_that_mean_nothing_are_refused(poller, arguments, told):
    answer = CliRunner().invoke(application, ["hap", str(poller()), *arguments])
    assert answer.exit_code != 0
    assert told in " ".join((answer.output + str(answer.exception)).split())


def test_exposures_that_are_not_aligned_end_the_run_if_they_shall(poller, svm_exposure, tmp_path):
    path = tmp_path / "cell.out"
    one = mosaic_input(svm_exposure(HRC, "HRC", "F606W;CLEAR2S", wcs_name="IDC_x"))
    path.write_text(poller_text(poller_of_sky_cell([one], CELL)))
    settings = HapSettings(accept_a_priori_wcs=False)
    with pytest.raises(UnusableInput, match="not aligned to Gaia"):
        make_sky_cell(path, folder=tmp_path, settings=settings)


def test_a_file_of_parameters_without_the_layer_is_refused(poller, tmp_path):
    given = tmp_path / "mine.json"
    given.write_text("{}")
    with pytest.raises(BadConfiguration, match=f"none of hst_{CELL}_wfc3_ir_f110w_coarse-all"):
        make_sky_cell(poller(), folder=tmp_path, settings=HapSettings(parameters_file=given))
    given.write_text("[]")
    with pytest.raises(BadConfiguration, match="JSON object"):
        parameters_in(given)


def test_mosaics_of_no_direct_image_are_refused(svm_exposure, tmp_path):
    grism = svm_exposure(NAME.replace("f110w", "g102"), "IR", "G102")
    workdir = WorkDir(tmp_path, "field").create()
    with pytest.raises(UnusableInput, match="of a grism"):
        made(workdir, [grism])


def test_a_layer_that_fails_costs_itself_and_says_why(svm_exposure, tmp_path):
    omitted = svm_exposure(HRC, "HRC", "F606W;CLEAR2S", DRIZCORR="OMIT")
    workdir = WorkDir(tmp_path, "field").create()
    result = made(workdir, [omitted])
    assert set(result.failures.values()) == {"UnusableInput"}
    text = (workdir.hap / "mosaics" / "mosaics.ecsv").read_text()
    assert "DRIZCORR=OMIT" in text
    assert not made(workdir, [omitted]).made.ran  # its exposures are the same: no use to try again


def made(workdir, inputs):
    return make_mosaics(
        inputs,
        folder=workdir.hap / "mosaics",
        workdir=workdir,
        settings=HapSettings(),
        machine=MachineSettings(max_cores=1),
    )


def test_exposures_that_are_not_aligned_are_in_no_mosaic_if_they_shall_not(svm_exposure, tmp_path):
    path = svm_exposure(NAME, "IR", "F110W", wcs_name="IDC_x")
    workdir = WorkDir(tmp_path, "field").create()
    with pytest.raises(UnusableInput, match="not aligned to Gaia; its WCS is IDC_x"):
        make_mosaics(
            [path],
            folder=workdir.hap / "mosaics",
            workdir=workdir,
            settings=HapSettings(accept_a_priori_wcs=False),
            machine=MachineSettings(),
        )


def test_what_ended_a_layer_is_a_failure_of_its_kind(exposure):
    layer = mosaic_layers([exposure])[0]
    assert isinstance(failure_of(layer, {"exit": None, "overlaps": False}), NoOverlap)
    assert "ended with 15" in str(failure_of(layer, {"exit": 15, "overlaps": True}))
    assert failure_of(layer, {"exit": None, "overlaps": True}) is None


def test_fine_layers_need_more_memory_than_coarse_ones(exposure):
    coarse, fine = mosaic_layers([exposure])
    needs = [layer_memory_bytes(LayerRequest(each)) for each in (coarse, fine)]
    assert needs[1] > 3 * needs[0]

import logging

import pytest

from hst_assets.failures import BadConfiguration, MissingProduct
from hst_assets.hap.children.single_exposures import exposure_time_of_single_exposures
from hst_assets.hap.result import HapResult, ReturnCode
from hst_assets.hap.run import make_advanced_products, run_hap_processing
from hst_assets.hap.switches import wants_catalogs, wants_quality
from hst_assets.settings import HapSettings


@pytest.mark.parametrize("code", list(ReturnCode))
def test_each_code_has_a_meaning(code):
    assert code.meaning


def test_what_the_code_does_not_tell_is_told():
    result = HapResult(
        ReturnCode.DONE,
        wcs={"a_flt.fits": "IDC_x-FIT_SVM_GAIAeDR3", "b_flt.fits": "IDC_x"},
        catalogs={"one_point-cat.ecsv": 0, "two_point-cat.ecsv": 5},
        emptied=("wfc",),
        without_psf=("ir",),
        rejected={"c_flt.fits": "EXPTIME 0"},
        quality={"report_wcs": "done", "find_gaia_sources": "not checked: ValueError"},
    )
    assert result.not_aligned == ("b_flt.fits",)
    told = "\n".join(result.told())
    for text in (
        "b_flt.fits: not aligned to Gaia; its WCS is IDC_x",
        "one_point-cat.ecsv: no source",
        "wfc: catalogues emptied",
        "ir: point sources were found without",
        "c_flt.fits: not taken by HAP (EXPTIME 0)",
        "find_gaia_sources: not checked",
    ):
        assert text in told
    assert len(result.told()) == 6


def test_a_visit_in_which_all_is_well_has_nothing_to_tell():
    assert HapResult(ReturnCode.DONE, wcs={"a": "IDC_x-FIT_SVM_GAIAeDR3"}).told() == []


@pytest.mark.parametrize(
    ("exposures", "detector", "seconds"),
    [
        ([("f606w", 300.0), ("f814w", 500.0)], "wfc", 800.0),
        ([("f606w", 300.0), ("f814w", 500.0), ("f814w", 500.0)], "uvis", 0.0),
        ([("f160w", 300.0)], "ir", 0.0),
        ([("f125lp", 300.0)], "sbc", 0.0),
    ],
)
def test_single_exposures_count_where_no_filter_has_two(exposures, detector, seconds):
    assert exposure_time_of_single_exposures(exposures, detector) == seconds


def test_variables_switch_catalogues_and_quality():
    assert wants_catalogs("ir", {})
    assert not wants_catalogs("ir", {"SVM_CATALOG_IR": "Off"})
    assert wants_catalogs("uvis", {"SVM_CATALOG_IR": "off"})
    assert not wants_quality({})
    assert wants_quality({"SVM_QUALITY_TESTING": "yes"})


def test_a_variable_that_is_neither_yes_nor_no_is_refused():
    with pytest.raises(BadConfiguration, match="neither yes nor no"):
        wants_quality({"SVM_QUALITY_TESTING": "maybe"})


def test_a_section_without_a_file_is_refused():
    with pytest.raises(ValueError, match="parameters_file"):
        HapSettings(parameters_section="parameters")


@pytest.fixture
def poller(tmp_path):
    path = tmp_path / "poller.out"
    path.write_text("iaaa01a0q_flt.fits\n")
    return path


def test_a_run_without_its_exposures_is_1_and_is_explained(poller, monkeypatch, caplog):
    monkeypatch.chdir(poller.parent)
    with caplog.at_level(logging.ERROR, "hst_assets.hap.run"):
        code = run_hap_processing(str(poller))
    assert (code, code.meaning) == (1, "the run failed")
    assert "line 1 of the poller: the exposure is not in" in caplog.text
    assert [path.name for path in poller.parent.iterdir()] == ["poller.out"]


@pytest.mark.parametrize("argument", [{"phot_mode": "psf"}, {"log_level": 21}])
def test_an_argument_that_means_nothing_is_refused(poller, argument):
    with pytest.raises(BadConfiguration):
        run_hap_processing(str(poller), **argument)


def test_a_poller_of_a_multi_visit_mosaic_is_refused(tmp_path):
    name = "hst_12345_01_wfc3_ir_f160w_iaaa01a0_flt.fits"
    (tmp_path / name).touch()
    path = tmp_path / "poller.out"
    cells = "skycell-p1234x05y06,NEW"
    path.write_text(f"{name},12345,AAA,01,100.0,F160W,IR,{cells},{tmp_path / name}\n")
    with pytest.raises(BadConfiguration, match="multi-visit"):
        make_advanced_products(path, folder=tmp_path)


def test_files_of_parameters_are_looked_at_before_anything_is_made(poller):
    folder = poller.parent
    (folder / "iaaa01a0q_flt.fits").touch()
    settings = HapSettings(parameters_file=folder / "mine.json")
    with pytest.raises(MissingProduct, match="parameters"):
        make_advanced_products(poller, folder=folder, settings=settings)
    (folder / "mine.json").write_text("{}")
    with pytest.raises(BadConfiguration, match="written to it"):
        make_advanced_products(
            poller, folder=folder, settings=settings, new_parameters_file=folder / "mine.json"
        )

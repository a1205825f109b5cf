"""AstroDrizzle's parameters: the registry's, the settings' and the user's tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from hst_assets.detectors import DETECTORS
from hst_assets.failures import BadConfiguration
from hst_assets.imaging.astrodrizzle.parameters import (
    BY_NUMBER,
    EVERYWHERE,
    OWNED,
    parameters,
    specification,
)
from hst_assets.settings import DrizzleSettings, load_settings, write_settings
from hst_assets.workdir import WorkDir

UVIS, IR = DETECTORS["wfc3_uvis"], DETECTORS["wfc3_ir"]


def of(tables: dict[str, dict[str, object]], n: int = 3, detector=UVIS, **settings: object):
    return parameters(detector, n, DrizzleSettings(parameters=tables, **settings))


# ------------------------------------------------------------------------------ the registry


@pytest.mark.parametrize(
    ("n", "combine_type", "nhigh", "rejects"),
    [
        (1, "minmed", 0, False),
        (2, "minmed", 0, True),
        (6, "minmed", 0, True),
        (7, "median", 1, True),
        (10, "median", 3, True),
    ],
)
def test_the_median_depends_on_the_number_of_exposures(
    n: int, combine_type: str, nhigh: int, rejects: bool
) -> None:
    given = parameters(UVIS, n, DrizzleSettings())
    assert given["combine_type"] == combine_type
    assert given["combine_nhigh"] == nhigh
    assert given["driz_cr"] is rejects


@pytest.mark.parametrize(
    ("setting", "value", "parameter", "given"),
    [
        ("pixfrac", 0.6, "final_pixfrac", 0.6),
        ("kernel", "gaussian", "final_kernel", "gaussian"),
        ("sky_sub", False, "skysub", False),
        ("combine_type", "median", "combine_type", "median"),
        ("weight_type", "ERR", "final_wht_type", "ERR"),
        ("units", "counts", "final_units", "counts"),
    ],
)
def test_each_setting_reaches_astrodrizzle(
    setting: str, value: object, parameter: str, given: object
) -> None:
    changed = parameters(UVIS, 3, DrizzleSettings(**{setting: value}))
    assert changed[parameter] == given
    assert parameters(UVIS, 3, DrizzleSettings())[parameter] != given


@pytest.mark.parametrize("key", DETECTORS)
def test_good_bits_are_the_detectors(key: str) -> None:
    given = parameters(DETECTORS[key], 3, DrizzleSettings())
    assert given["final_bits"] == given["driz_sep_bits"] == str(DETECTORS[key].drizzle_good_bits)


def test_wfpc2_is_weighted_by_time_where_errors_are_asked_for() -> None:
    by_error = DrizzleSettings(weight_type="ERR")
    assert parameters(DETECTORS["wfpc2"], 2, by_error)["final_wht_type"] == "EXP"


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("key", DETECTORS)
def test_the_registry_knows_no_parameter_that_astrodrizzle_does_not(key: str, n: int) -> None:
    known = specification()
    for name, value in parameters(DETECTORS[key], n, DrizzleSettings()).items():
        assert known[name].read(value, where="registry") == value


def test_the_specification_is_that_of_the_installed_astrodrizzle() -> None:
    known = specification()
    assert known["driz_cr_grow"].kind == "integer"
    assert known["skylower"].default is None
    assert known["final_kernel"].options[0] == "square"
    assert set(EVERYWHERE).union(*BY_NUMBER.values()) <= set(known)
    assert set(OWNED) - set(known) == {"updatewcs", "mdriztab"}  # arguments of the function only


# -------------------------------------------------------------------------- the user's tables


def test_a_table_for_all_takes_the_registrys_place() -> None:
    assert of({"all": {"driz_cr_grow": 3}})["driz_cr_grow"] == 3
    assert of({})["driz_cr_grow"] == 1


def test_a_detectors_table_is_its_own() -> None:
    tables = {"wfc3_uvis": {"skymethod": "match"}}
    assert of(tables)["skymethod"] == "match"
    assert of(tables, detector=IR)["skymethod"] == "globalmin+match"


@pytest.mark.parametrize(
    ("text", "holds_for"),
    [("2", {2}), ("2-4", {2, 3, 4}), ("5+", {5, 6, 7, 8})],
)
def test_a_table_may_hold_for_some_numbers_of_exposures(text: str, holds_for: set[int]) -> None:
    tables = {"all": {text: {"driz_cr_grow": 5}}}
    assert {n for n in range(1, 9) if of(tables, n)["driz_cr_grow"] == 5} == holds_for


def test_the_more_special_table_wins() -> None:
    tables = {
        "wfc3_uvis": {"driz_cr_grow": 4, "3": {"driz_cr_grow": 5}},
        "all": {"driz_cr_grow": 2, "3": {"driz_cr_grow": 3}},
    }
    assert of(tables, 3)["driz_cr_grow"] == 5
    assert of(tables, 4)["driz_cr_grow"] == 4
    assert of(tables, 3, detector=IR)["driz_cr_grow"] == 3
    assert of(tables, 4, detector=IR)["driz_cr_grow"] == 2


def test_a_users_table_wins_over_the_setting_of_the_same_meaning() -> None:
    assert of({"wfc3_uvis": {"final_pixfrac": 0.6}}, pixfrac=0.9)["final_pixfrac"] == 0.6


def test_a_parameter_the_registry_does_not_name_reaches_astrodrizzle() -> None:
    assert of({"all": {"static_sig": 3.0}})["static_sig"] == 3.0


@pytest.mark.parametrize(
    "values",
    [
        {"driz_cr_grow": 1},
        {"driz_cr_snr": "3.5  3.0"},
        {"driz_cr_snr": [3.5, 3]},
        {"final_bits": 112},
        {"combine_maskpt": 0.2},
        {"static_sig": 4},  # AstroDrizzle's own default
    ],
)
def test_spelling_out_a_default_changes_nothing(values: dict[str, object]) -> None:
    assert of({"all": values}) == of({})


def test_rejection_can_be_left_out_altogether() -> None:
    given = of({"all": {"driz_cr": False}})
    assert not any(given[step] for step in ("driz_separate", "median", "blot", "driz_cr"))
    assert given["resetbits"] == "0"  # nothing finds the archive's cosmic rays again


def test_one_exposure_is_not_compared_with_itself() -> None:
    assert of({"all": {"driz_cr": True}}, 1)["driz_cr"] is False


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"all": {"driz_cr_gorw": 1}}, "no parameter 'driz_cr_gorw'; did you mean 'driz_cr_grow'"),
        ({"wfc3_uvsi": {"driz_cr_grow": 1}}, "no detector 'wfc3_uvsi'.*did you mean 'wfc3_uvis'"),
        ({"all": {"driz_cr_grow": "much"}}, "driz_cr_grow must be an integer, not 'much'"),
        ({"all": {"driz_cr_grow": 1.5}}, "must be an integer"),
        ({"all": {"static": 1}}, "static must be true or false"),
        ({"all": {"skystat": "average"}}, "must be 'median' or 'mode' or 'mean'"),
        ({"all": {"combine_maskpt": "0.2"}}, "must be a number"),
        ({"all": {"driz_cr_snr": True}}, "must be text, a number"),
        ({"all": {"final_pixfrac": 0}}, "above 0"),
        ({"all": {"driz_cr_snr": "3.5"}}, "driz_cr_snr must be two numbers above 0, not '3.5'"),
        ({"all": {"driz_cr_snr": [3.5, -3.0]}}, "driz_cr_snr must be two numbers"),
        ({"all": {"driz_cr_scale": "1.2 low"}}, "driz_cr_scale must be two numbers"),
        ({"all": {"final_bits": "good"}}, "final_bits must be integers"),
        ({"all": {"driz_sep_bits": 1.5}}, "driz_sep_bits must be integers"),
        ({"all": {"combine_nlow": -1}}, "combine_nlow must be at least 0"),
        ({"all": {"combine_nhigh": -1}}, "combine_nhigh must be at least 0"),
        ({"all": {"combine_grow": -1}}, "combine_grow must be at least 0"),
        ({"all": {"static_sig": 0.0}}, "static_sig must be above 0"),
        ({"all": {"skywidth": -0.1}}, "skywidth must be above 0"),
        ({"all": {"few": {"driz_cr_grow": 2}}}, "'few' is not a number of exposures"),
        ({"all": {"5-2": {"driz_cr_grow": 2}}}, "holds for no number"),
        ({"all": {"0": {"driz_cr_grow": 2}}}, "holds for no number"),
        # What is wrong in a table is told even where it is not in force.
        ({"wfc3_ir": {"9+": {"driz_cr_gorw": 1}}}, "did you mean 'driz_cr_grow'"),
    ],
)
def test_what_astrodrizzle_does_not_know_is_refused(tables, said: str) -> None:
    with pytest.raises(BadConfiguration, match=said):
        of(tables)


@pytest.mark.parametrize("bits", ["64, 32", "64 32", "64+32", "~4096", 96, "0", [64, 32]])
def test_good_bits_may_be_written_as_drizzlepac_reads_them(bits: object) -> None:
    assert "final_bits" in of({"all": {"final_bits": bits}})


@pytest.mark.parametrize("name", OWNED)
def test_what_is_not_the_users_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(BadConfiguration, match=f"{name} cannot be set here") as caught:
        of({"all": {name: 1}})
    assert caught.value.next_step == f"Instead: {OWNED[name]}"


def test_settings_that_the_refusals_name_exist() -> None:
    import re

    named = set(re.findall(r"\bdrizzle\.([a-z_]+)", " ".join(OWNED.values())))
    assert named
    assert named <= set(DrizzleSettings.model_fields)


# -------------------------------------------------------------------------------- the file


@pytest.fixture
def workdir(tmp_path: Path) -> WorkDir:
    workdir = WorkDir(tmp_path, "field").create()
    (workdir.base / "pars.toml").write_text(
        '[all]\ndriz_cr_grow = 2\n[wfc3_uvis."2-6"]\ncombine_type = "median"\n'
    )
    workdir.settings_file.write_text('[drizzle]\nparameters_file = "pars.toml"\n')
    return workdir


def test_the_file_is_read_with_the_settings(workdir: WorkDir) -> None:
    given = parameters(UVIS, 2, load_settings(workdir).drizzle)
    assert (given["driz_cr_grow"], given["combine_type"]) == (2, "median")
    assert parameters(UVIS, 2, DrizzleSettings())["combine_type"] == "minmed"


def test_tables_in_the_settings_win_over_the_file(workdir: WorkDir) -> None:
    with workdir.settings_file.open("a") as file:
        file.write("[drizzle.parameters.all]\ndriz_cr_grow = 7\n")
    given = parameters(UVIS, 2, load_settings(workdir).drizzle)
    assert (given["driz_cr_grow"], given["combine_type"]) == (7, "median")


def test_a_file_that_is_not_there_is_told(workdir: WorkDir) -> None:
    (workdir.base / "pars.toml").unlink()
    with pytest.raises(BadConfiguration, match="parameters_file does not exist"):
        load_settings(workdir)


def test_settings_that_name_a_missing_file_are_not_written(workdir: WorkDir) -> None:
    before = workdir.settings_file.read_text()
    with pytest.raises(BadConfiguration, match="does not exist"):
        write_settings(workdir, {"drizzle": {"parameters_file": "other.toml"}})
    assert workdir.settings_file.read_text() == before


def test_a_file_that_is_no_toml_is_told_by_name(workdir: WorkDir) -> None:
    (workdir.base / "pars.toml").write_text("driz_cr_grow: 2")
    with pytest.raises(BadConfiguration, match=r"pars\.toml: not valid TOML"):
        load_settings(workdir)

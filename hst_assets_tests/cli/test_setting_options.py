"""Options that stand for settings."""

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from hst_assets.cli.setting_options import SETTING_OPTIONS, Changes, changes_of, takes_settings
from hst_assets.failures import BadConfiguration
from hst_assets.settings import Settings


@pytest.mark.parametrize("option", SETTING_OPTIONS, ids=lambda option: option.setting)
def test_every_option_writes_a_setting_that_exists(option):
    section, _, key = option.setting.partition(".")
    assert key in type(getattr(Settings(), section)).model_fields


def test_no_name_and_no_setting_stands_twice():
    names = [name for option in SETTING_OPTIONS for name in option.names.split()]
    assert len(set(names)) == len(names)
    assert len({option.setting for option in SETTING_OPTIONS}) == len(SETTING_OPTIONS)


#: What may be typed, and a setting that differs from the default.
TYPED = {
    "radius": "90arcsec",
    "proposal": "12891, 13000",
    "instrument": "wfc3,acs",
    "detector": "WFC3_UVIS",
    "data_rights": "all",
    "before": "2013-06-01",
    "after": "2012-06-01",
    "only_filter": "f606w,F814W",
    "reference_filter": "f814w",
    "align_with": "tweakreg,catalog",
    "drizzle_mask": "10:00:24,-2.5",
    "combine_type": "mean",
    "wht_type": "err",
    "sky_sub": False,
    "photometer": "EMBEDDED",
    "write_dolphot_hdf5": False,
    "fit_sky": 3,
    "align_only": True,
}


@pytest.mark.parametrize("option", SETTING_OPTIONS, ids=lambda option: option.names.split()[0])
def test_every_option_gives_a_valid_setting_that_is_not_the_default(option):
    plain = {str: "name", int: 77, float: 1.25, bool: True}[option.kind]
    changes = changes_of({option.parameter: TYPED.get(option.parameter, plain)})
    section, _, key = option.setting.partition(".")
    settings = Settings.model_validate(changes)
    assert getattr(getattr(settings, section), key) != getattr(getattr(Settings(), section), key)


def test_lists_are_separated_by_commas_whatever_their_case():
    changes = changes_of({"only_filter": "f606w, F814W", "proposal": "012891,13000"})
    settings = Settings.model_validate(changes)
    assert settings.selection.only_filter == ("F606W", "F814W")
    assert settings.archive.proposals == ("12891", "13000")


@pytest.mark.parametrize(
    ("typed", "arcmin"), [("5", 5.0), ("90arcsec", 1.5), ("0.1 deg", 6.0), ("2.5arcmin", 2.5)]
)
def test_a_radius_may_say_its_unit(typed, arcmin):
    assert changes_of({"radius": typed})["archive"]["radius_arcmin"] == pytest.approx(arcmin)


@pytest.mark.parametrize("typed", ["5 km", "wide", ""])
def test_a_radius_is_an_angle(typed):
    with pytest.raises(BadConfiguration, match="--radius: not a radius"):
        changes_of({"radius": typed})


@pytest.mark.parametrize("typed", ["F999X", "F606W,V", ",", ""])
def test_a_filter_that_no_detector_has_is_refused(typed):
    with pytest.raises(BadConfiguration, match="--only-filter: no detector"):
        changes_of({"only_filter": typed})


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("F606W-POL0V", "F606W-POL0V"),
        ("pol0v-f606w", "F606W-POL0V"),
        ("FR656N-6710", "FR656N-6710"),
    ],
)
def test_a_filter_may_be_named_as_exposures_have_it(typed, name):
    assert changes_of({"only_filter": typed})["selection"]["only_filter"] == [name]


def test_filters_that_no_detector_has_together_are_refused():
    with pytest.raises(BadConfiguration, match="no detector has an imaging filter F160W-F606W"):
        changes_of({"only_filter": "F606W-F160W"})  # of ACS and WFC3/UVIS, and of WFC3/IR


def test_paths_are_those_of_the_shell(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert changes_of({"reference": "a.fits"})["reference"]["image"] == str(tmp_path / "a.fits")


def test_what_was_not_given_is_left_alone():
    assert changes_of({option.parameter: None for option in SETTING_OPTIONS}) == {}


def test_a_command_receives_what_was_given_and_keeps_its_own_arguments():
    application = typer.Typer()
    seen = []

    @application.command()
    @takes_settings("selection")
    def command(
        target: str,
        *,
        dry: Annotated[bool, typer.Option("--dry")] = False,
        changes: Changes,
    ) -> None:
        seen.append((target, dry, changes))

    result = CliRunner().invoke(application, ["sn1", "--only-wide", "--before", "2013-01-01"])
    assert result.exit_code == 0, result.output
    assert seen == [("sn1", False, {"selection": {"only_wide": True, "before": "2013-01-01"}})]
    assert CliRunner().invoke(application, ["sn1", "--fix-zpt", "25"]).exit_code == 2

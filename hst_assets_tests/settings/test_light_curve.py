import pytest
from pydantic import ValidationError

from hst_assets.settings import Settings

PLACE = {"ra_deg": 10.0, "dec_deg": -5.0}


def wanted(**sections):
    return Settings.model_validate(sections).wants("light_curve.make")


def test_a_light_curve_goes_along_with_photometry_where_there_is_a_place():
    assert wanted(photometry={"make": True}, target=PLACE)
    assert wanted(photometry={"make": True}, light_curve=PLACE)
    assert not wanted(photometry={"make": True})
    assert not wanted(target=PLACE)


def test_what_is_set_decides():
    assert wanted(light_curve={"make": True})
    assert not wanted(photometry={"make": True}, target=PLACE, light_curve={"make": False})


def test_its_own_place_comes_before_the_targets():
    settings = Settings.model_validate(
        {"target": PLACE, "light_curve": {"ra_deg": 11.0, "dec_deg": 1.0}}
    )
    assert settings.place == (11.0, 1.0)


def test_half_a_place_is_refused():
    with pytest.raises(ValidationError, match="together"):
        Settings.model_validate({"light_curve": {"ra_deg": 11.0}})

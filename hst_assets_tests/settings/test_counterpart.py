"""What the section `counterpart` takes and refuses."""

import pytest
from pydantic import ValidationError

from hst_assets.settings import CounterpartSettings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ra_deg": 150.1}, "set together"),
        ({"ra_deg": 150.1, "dec_deg": 2.2}, "needs its error_mas, or measured_on"),
        ({"extinction_mag": {"F814W": 0.1}}, "not a detector and filter"),
        ({"extinction_mag": {"nicmos_2.f814w": 0.1}}, "not a detector and filter"),
        ({"extinction_error_mag": {"acs_wfc.f814w": 0.1}}, "without extinction_mag"),
        ({"appeared": "next year"}, "not a date in ISO 8601"),
    ],
)
def test_what_makes_no_sense_is_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        CounterpartSettings(**values)


def test_a_position_is_given_with_its_error_or_measured():
    place = {"ra_deg": 0.0, "dec_deg": 2.2}
    assert CounterpartSettings(**place, error_mas=5.0).error_mas == 5.0
    assert CounterpartSettings(**place, measured_on=3).measured_on == 3

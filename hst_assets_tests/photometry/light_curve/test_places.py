import astropy.units as u
import pytest
from astropy.table import QTable

from hst_assets.failures import BadConfiguration
from hst_assets.photometry.light_curve.places import read_positions


def test_ecsv_with_units_is_read_in_degrees(tmp_path):
    path = tmp_path / "places.ecsv"
    QTable({"RA": [1.0] * u.hourangle, "Dec": [60.0] * u.arcmin}).write(path)
    (place,) = read_positions(path)
    assert place.source == 1
    assert (place.ra_deg, place.dec_deg) == pytest.approx((15.0, 1.0))
    assert place.name == "place 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ra,name\n1,a\n", "no column dec"),
        ("ra,dec\n1,2\n400,2\n", "row 2 is no position"),
        ("ra,dec\n1,\n", "row 1 is no position"),
        ("ra,dec\n12:00:00,2\n", "row 1 is no position"),
        ("ra,dec\n1,2\n1,2,3,4\n", "cannot be read"),
    ],
)
def test_what_is_no_position_is_refused_with_its_row(tmp_path, text, message):
    path = tmp_path / "places.csv"
    path.write_text(text)
    with pytest.raises(BadConfiguration, match=message):
        read_positions(path)


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadConfiguration, match=r"places\.csv"):
        read_positions(tmp_path / "places.csv")

"""Tables of the user's own: what they may look like, and what is said of those that will not do."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table

from hst_assets.astrometry.absolute.user_catalog import read_user_catalog
from hst_assets.failures import BadConfiguration

RA, DEC = np.array([150.1, 150.2, 150.3]), np.array([2.1, 2.2, 2.3])
FORMATS = {"mine.ecsv": "ascii.ecsv", "mine.csv": "ascii.csv", "mine.fits": "fits"}


def written(folder, columns, name="mine.ecsv"):
    path = folder / name
    Table(columns).write(path, format=FORMATS[name])
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_and_columns_in_any_case(tmp_path, name):
    columns = {"RA": RA, "Dec": DEC, "pmRA": [1.0, 2, 3], "PMDEC": [4.0, 5, 6]}
    columns |= {"Ref_Epoch": [2016.0] * 3, "MAG": [20.0, 18.0, 19.0]}
    stars = read_user_catalog(written(tmp_path, columns, name))
    assert list(stars["mag"].value) == [18, 19, 20]
    assert list(stars["ra"].to_value("deg")) == [150.2, 150.3, 150.1]
    assert list(stars["pmra"].to_value("mas/yr")) == [2, 3, 1]
    assert list(stars["pmdec"].to_value("mas/yr")) == [5, 6, 4]
    assert set(stars["epoch"].to_value("yr")) == {2016.0}


def test_units_of_columns_are_heeded(tmp_path):
    table = Table({"ra": RA / 15, "dec": DEC * 60, "pmra": [1.0, 1, 1], "pmdec": [0.0, 0, 0]})
    table["epoch"] = [2000.0] * 3
    table["ra"].unit, table["dec"].unit, table["pmra"].unit = "hourangle", "arcmin", "arcsec/yr"
    stars = read_user_catalog(written(tmp_path, table))
    assert stars["ra"].to_value("deg") == pytest.approx(RA)
    assert stars["dec"].to_value("deg") == pytest.approx(DEC)
    assert stars["pmra"].to_value("mas/yr") == pytest.approx(1000.0)


def test_the_larger_error_of_both_axes_counts(tmp_path):
    columns = {"ra": RA, "dec": DEC, "ra_error": [1.0, 2, 3], "dec_error": [2.0, 1, 5]}
    stars = read_user_catalog(written(tmp_path, columns))
    assert list(stars["position_error"].to_value(u.mas)) == [2, 2, 5]


def test_positions_alone_will_do(tmp_path):
    stars = read_user_catalog(written(tmp_path, {"ra": RA, "dec": DEC}))
    assert list(stars["ra"].value) == list(RA)  # in their order: none is known to be brighter
    assert not stars["pmra"].value.any()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"ra": RA, "decl": DEC}, r"no column dec \(it has ra, decl\)"),
        ({"x": RA}, "no column ra or dec"),
        ({"ra": RA, "dec": DEC, "pmra": RA}, "pmra without the other component"),
        ({"ra": RA, "dec": DEC, "pmra": RA, "pmdec": RA}, "without the epoch"),
        ({"ra": RA, "dec": DEC, "epoch": [57388.0] * 3}, "epoch holds values that are not years"),
        ({"ra": RA + 300, "dec": DEC}, "ra holds values that are not degrees"),
        ({"ra": RA, "dec": DEC + 100}, "dec holds values that are not degrees"),
        ({"ra": ["10:00:24"] * 3, "dec": DEC}, "column ra is not numbers in deg"),
        ({"ra": RA * u.m, "dec": DEC}, "column ra is not numbers in deg"),
        (
            {"ra": RA, "dec": DEC, "pmra": RA, "pmdec": RA, "epoch": [2016.0, np.nan, 2016.0]},
            "1 of 3 stars have a proper motion but no epoch",
        ),
        ({"ra": [np.nan] * 3, "dec": DEC}, "no star with a position"),
    ],
)
def test_what_will_not_do_is_named(tmp_path, columns, message):
    with pytest.raises(BadConfiguration, match=message) as caught:
        read_user_catalog(written(tmp_path, columns))
    assert caught.value.where == "catalog.source"


def test_a_file_that_is_no_table_is_refused(tmp_path):
    path = tmp_path / "mine.fits"
    path.write_text("not FITS")
    with pytest.raises(BadConfiguration, match="cannot be read"):
        read_user_catalog(path)


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(BadConfiguration, match=r"not a name that ends in .ecsv"):
        read_user_catalog(tmp_path / "mine.txt")


def test_a_table_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(BadConfiguration, match="does not exist"):
        read_user_catalog(tmp_path / "mine.csv")

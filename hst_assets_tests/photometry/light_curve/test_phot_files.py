import numpy as np
import pytest

from hst_assets.photometry.light_curve.averages import averaged
from hst_assets.photometry.light_curve.phot_files import (
    phot_text,
    snana_text,
    write_light_curve_texts,
)
from hst_assets.photometry.light_curve.points import Place
from hst_assets.photometry.light_curve.table import PointLimits, light_curve_table
from hst_assets_tests.photometry.light_curve.test_points import point


def table_of(*points):
    places = [Place(source=0, name="sn 1\nnote = x", ra_deg=10.0, dec_deg=-5.0)]
    found = averaged(points, {})
    return light_curve_table(found, places, [PointLimits()] * len(found))


def rows_of(text):
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def test_rows_are_epochs_in_time_then_the_filter():
    late = point(2.0, 0.1, epoch=2, mjd=56100.0)
    text = phot_text(table_of(late, point(1.0, 0.1)))
    above, below = text.split("# Average Photometry\n")
    assert [row[0] for row in rows_of(above)] == ["56000.00000", "56100.00000"]
    assert len(rows_of(below)) == 1
    instrument, name, exposure, mag, error, limit = rows_of(above)[0][1:]
    assert (instrument, name, exposure) == ("WFC3/UVIS", "F814W", "100.0000")
    assert float(mag) == pytest.approx(23.9, abs=1e-4)
    assert float(error) == pytest.approx(0.1086, abs=1e-4)
    assert float(limit) == pytest.approx(23.9 - 2.5 * np.log10(0.3), abs=1e-4)


def test_other_systems_are_said_and_used():
    text = phot_text(table_of(point(1.0, 0.1, vega_minus_ab_mag=-0.42)), "vega")
    assert "# magsystem = vegamag" in text
    assert float(rows_of(text)[0][4]) == pytest.approx(23.48, abs=1e-4)


def test_a_name_cannot_make_a_line_of_its_own():
    lines = phot_text(table_of(point(1.0, 0.1))).splitlines()
    assert "# object = sn 1 note = x" in lines


def test_what_is_not_seen_has_no_magnitude_and_a_limit():
    row = rows_of(phot_text(table_of(point(-1.0, 0.1))))[0]
    assert row[4] == row[5] == "nan"
    assert float(row[6]) == pytest.approx(25.2073, abs=1e-3)


def test_snana_has_fluxes_of_zero_point_27_5():
    text = snana_text(table_of(point(-1.0, 0.1), point(10.0, 0.1, epoch=2)))
    assert "NOBS: 2" in text
    first, second = (line.split() for line in text.splitlines() if line.startswith("OBS:"))
    assert first[2] == "WFC3/UVIS-F814W"
    # A microjansky is 23.9 in AB: 10 ** (0.4 * 3.6).
    assert float(first[3]) == pytest.approx(-27.5423, abs=1e-3)
    assert float(second[3]) == pytest.approx(275.423, abs=1e-2)
    assert text.endswith("END:\n")


def test_forced_points_stand_in_where_the_catalogue_has_no_star(tmp_path):
    nothing = point(np.nan, np.inf, method="catalog", n_images=0)
    table = table_of(nothing, point(1.0, 0.1))
    phot, snana = write_light_curve_texts(table, tmp_path / "dp0000", "ab", [0])
    assert (phot.name, snana.name) == ("dp0000.phot", "dp0000.snana")
    assert "# method = forced" in phot.read_text()

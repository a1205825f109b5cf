import json
import re

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from hst_assets.failures import UnusableInput
from hst_assets.photometry.light_curve.interactive_plot import (
    light_curve_figure,
    write_interactive_plot,
)
from hst_assets.photometry.light_curve.table import LIGHT_CURVE_COLUMNS

HOSTILE = "SN <script>document.title = 'taken'</script>\x1b"


def row(flux, error, **others):
    magnitude = 23.9 - 2.5 * np.log10(flux) if flux > 0 else np.nan
    return {
        "name": "target",
        "detector": "wfc3_uvis",
        "filter_name": "F814W",
        "method": "forced",
        "level": "epoch",
        "epoch": 1,
        "images": "a b",
        "mjd": 56000.5,
        "flux_ujy": flux,
        "flux_error_ujy": error,
        "snr": flux / error,
        "ab_mag": magnitude,
        "ab_mag_error": 1.0857 * error / abs(flux),
        "st_mag": magnitude + 0.5,
        "vega_mag": magnitude - 0.4,
        "st_minus_ab_mag": 0.5,
        "vega_minus_ab_mag": -0.4,
        "limit_3sigma_ab_mag": 23.9 - 2.5 * np.log10(3 * error),
        "limit_50_ab_mag": np.nan,
        "limits_from": "error of the flux",
        "offset_arcsec": 0.0,
        "note": "",
    } | others


def table(*rows, **meta):
    return QTable(rows=list(rows), meta=meta)


def told(html):
    return json.loads(re.search(r"json\">(.*?)</script>", html)[1])


def columns(html):
    return told(html)["columns"]


def test_what_is_not_seen_is_a_limit_and_keeps_its_flux():
    found = columns(light_curve_figure(table(row(5.0, 0.1), row(-0.1, 0.1), row(0.29, 0.1))))
    assert found["seen_ab_mag"] == [pytest.approx(22.1526, abs=1e-4), None, None]
    assert found["limit_ab_mag"] == [None, *[pytest.approx(25.2072, abs=1e-4)] * 2]
    assert found["flux_ujy"] == [5.0, -0.1, 0.29]


def test_limits_are_in_every_system():
    found = columns(light_curve_figure(table(row(0.1, 0.1))))
    assert found["limit_st_mag"][0] - found["limit_ab_mag"][0] == pytest.approx(0.5)
    assert found["limit_vega_mag"][0] - found["limit_ab_mag"][0] == pytest.approx(-0.4)


def test_what_was_not_measured_is_counted():
    nothing = row(1.0, 1.0, flux_ujy=np.nan, snr=np.nan, limit_3sigma_ab_mag=np.nan)
    assert "1 have neither" in light_curve_figure(table(row(5.0, 0.1), nothing))


def test_fluxes_may_have_units():
    with_units = table(row(5.0, 0.1))
    with_units["flux_ujy"] = [5.0] * u.uJy
    assert columns(light_curve_figure(with_units))["flux_ujy"] == [5.0]


def test_the_system_of_the_settings_is_the_first():
    html = light_curve_figure(table(row(5.0, 0.1)), magnitudes="vega")
    assert [axis["key"] for axis in told(html)["y"]][:2] == ["seen_vega_mag", "seen_ab_mag"]


def test_every_column_that_is_read_is_one_of_the_table():
    assert set(row(5.0, 0.1)) <= {spec.name for spec in LIGHT_CURVE_COLUMNS}


def test_no_point_is_no_figure():
    with pytest.raises(UnusableInput, match="no point"):
        light_curve_figure(table(row(1.0, 1.0))[:0])


@pytest.mark.ui
def test_the_page_works_offline_and_hostile_names_are_text(browser, tmp_path):
    rows = [row(flux, 0.1, name=HOSTILE, note=HOSTILE) for flux in (5.0, 2.0, 0.1)]
    path = write_interactive_plot(table(*rows, target=HOSTILE), tmp_path / "light_curve.html")
    page = browser.open(path)
    assert page.evaluate("document.title") == f"Light curve of {HOSTILE[:-1]}�"
    assert (
        page.evaluate("document.querySelector('.limits').getAttribute('d').split('M').length") == 3
    )
    page.evaluate("document.querySelector('.stage svg').focus()")
    page.key("ArrowRight")
    assert f"place: {HOSTILE[:-1]}�" in page.evaluate("document.querySelector('.told').innerText")
    page.evaluate(
        "(() => {const all = document.querySelectorAll('.controls select')[1];"
        "all.value = 'flux (µJy)'; all.dispatchEvent(new Event('change'))})()"
    )
    assert page.evaluate("document.querySelector('.limits').getAttribute('d')") == ""
    assert page.evaluate("document.querySelectorAll('.name')[1].textContent") == "flux (µJy)"
    assert page.requests == [path.as_uri()]
    assert page.complaints == []
    page.close()

import numpy as np
import pytest

from hst_assets.photometry.wfpc2_cte import FIRST_MJD, NOMINAL_E_PER_DN, wfpc2_cte_mag

MJD_1999, MJD_2007 = 51300.0, 54200.0
CENTRE = {"x": 400.0, "y": 400.0}


def correction_of_2004(counts_e, sky_e, x, y, mjd):
    """Dolphin's of 2004-12-20, with the figures of wfpc2cte 1.2.4 of STScI's wfpc2tools."""
    sky = np.hypot(sky_e, 1.0)
    bg, lbg, yr = sky - 10.0, np.log(sky) - 1.0, (mjd - 50193.0) / 365.25
    xcte = 0.0021 * np.exp(-0.234 * bg) * x / 800.0
    lct = np.log(counts_e) - 7.0 + 0.921 * xcte
    time = 1.0 + 0.335 * yr - 0.0074 * yr**2
    c1 = 0.0114 * (0.670 * np.exp(-0.246 * lbg) + 0.330 * np.exp(-0.0359 * bg)) * time * y / 800.0
    c2 = 3.55 * np.exp(-0.474 * lct)
    return -(xcte + np.log(np.exp(c1) * (1.0 + c2) - c2) / 0.436)


@pytest.mark.parametrize("mjd", [50000.0, MJD_1999, 52500.0])
@pytest.mark.parametrize("counts_e", [300.0, 1000.0, 10_000.0])
def test_it_is_near_the_correction_that_it_replaced(counts_e, mjd):
    # The abstract of Dolphin (2009) says that photometry changes by over 5 % in some cases; those
    # are faint stars and late years.
    args = (counts_e, 20.0, 400.0, 400.0, mjd)
    new = wfpc2_cte_mag(counts_e, 20.0, **CENTRE, mjd=mjd)
    assert new == pytest.approx(correction_of_2004(*args), abs=0.03)


def test_a_star_worked_out_by_hand():
    # N = 1096.6 e (ln N = 7), B = e electrons but for the softening, t = 10 years, X = 0, Y = 800:
    # lbg = 0.0635, lct = 0; c1 = 0.98724, c2 = 0.957704 (10 - 2.5474) = 7.13739;
    # 2.412981 ln(8.13739 exp(0.0221033) - 7.13739) = 2.412981 ln(1.181868) = 0.40320.
    at = wfpc2_cte_mag(np.exp(7.0), np.e, x=0.0, y=800.0, mjd=FIRST_MJD + 3652.5)
    assert at == pytest.approx(-0.40320, abs=2e-5)


def test_nothing_is_lost_at_the_amplifier():
    assert wfpc2_cte_mag(1000.0, 5.0, x=0.0, y=0.0, mjd=MJD_2007) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"y": 100.0}, {"y": 700.0}),
        ({"x": 100.0}, {"x": 700.0}),
        ({"mjd": MJD_1999}, {"mjd": MJD_2007}),
        ({"sky_e": 100.0}, {"sky_e": 2.0}),
        ({"counts_e": 10_000.0}, {"counts_e": 300.0}),
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_makes_the_loss_larger(less, more):
    star = {"counts_e": 1000.0, "sky_e": 10.0, "x": 300.0, "y": 300.0, "mjd": 52000.0}

    def loss(**changes):
        values = star | changes
        return -wfpc2_cte_mag(values.pop("counts_e"), values.pop("sky_e"), **values)

    assert 0 < loss(**less) < loss(**more)


def test_stars_are_broadcast():
    found = wfpc2_cte_mag([100.0, 1000.0], [[1.0], [50.0]], **CENTRE, mjd=MJD_1999)
    assert found.shape == (2, 2)
    assert found[1, 0] == wfpc2_cte_mag(100.0, 50.0, **CENTRE, mjd=MJD_1999)


def test_y_beyond_the_chip_is_its_edge():
    edge, beyond = wfpc2_cte_mag(1000.0, 5.0, x=0.0, y=[800.0, 815.0], mjd=MJD_1999)
    assert beyond == edge


def test_negative_sky_is_none():
    none, negative = wfpc2_cte_mag(1000.0, [0.0, -3.0], **CENTRE, mjd=MJD_1999)
    assert negative == none


def test_no_correction_is_known_without_counts_or_for_the_warm_camera():
    assert np.isnan(wfpc2_cte_mag([0.0, -5.0, np.nan], 5.0, **CENTRE, mjd=MJD_1999)).all()
    assert np.isnan(wfpc2_cte_mag(1000.0, 5.0, **CENTRE, mjd=FIRST_MJD - 1.0))


def test_both_settings_of_the_gain_have_a_figure():
    assert set(NOMINAL_E_PER_DN) == {7.0, 15.0}

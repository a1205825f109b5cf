"""Names to positions, on a Sesame of loopback."""

import pytest
from astropy.coordinates.name_resolve import sesame_url
from astropy.utils.data import conf

from hst_assets.archive.name_resolver import resolve_name
from hst_assets.failures import AccessRefused, BadConfiguration, NothingFound, TransientFailure
from hst_assets_tests.stand_ins.mast import Mast

TIMEOUT_S = 0.5


@pytest.fixture
def mast():
    with Mast() as served:
        served.names["NGC 104"] = (6.0223292, -72.0814444)
        served.names["SN 2013fy"] = (332.9, 0.5)
        yield served


def resolve(mast, name):
    return resolve_name(name, sesame_url=mast.sesame_url, timeout_s=TIMEOUT_S)


@pytest.mark.parametrize("name", ["NGC 104", "ngc 104", "  NGC   104 "])
def test_a_known_name_has_a_position(mast, name):
    assert resolve(mast, name) == pytest.approx((6.0223292, -72.0814444), abs=1e-8)


def test_an_unknown_name_is_not_found(mast):
    with pytest.raises(NothingFound, match="no catalogue knows 'NGC 1O4'"):
        resolve(mast, "NGC 1O4")


@pytest.mark.parametrize(
    "fault",
    ["503", "500", "429", "silence", "stall", "reset", "refuse", "html", "blank"],
)
def test_a_resolver_out_of_order_is_not_an_unknown_name(mast, fault):
    mast.inject("sesame", fault, times=None)
    with pytest.raises(TransientFailure, match="nph-sesame"):
        resolve(mast, "NGC 104")


def test_no_connection_is_not_an_unknown_name(mast):
    with mast.down(), pytest.raises(TransientFailure):
        resolve(mast, "NGC 104")


def test_a_rejected_request_is_refused(mast):
    mast.inject("sesame", "403", times=None)
    with pytest.raises(AccessRefused):
        resolve(mast, "NGC 104")


@pytest.mark.parametrize("name", ["", "   ", "NGC\x00104", "x" * 121])
def test_what_is_no_name_is_not_asked_for(mast, name):
    with pytest.raises(BadConfiguration):
        resolve(mast, name)
    assert mast.count() == 0


@pytest.mark.parametrize("length", [70, 75, 80])
def test_half_a_position_is_no_position(mast, length, monkeypatch):
    from hst_assets_tests.stand_ins import names

    whole = names.sesame(mast.names, "NGC 104")
    assert "%J" in whole[:length]
    monkeypatch.setattr(names, "sesame", lambda *_: whole[:length])
    with pytest.raises(TransientFailure, match="incomplete answer"):
        resolve(mast, "NGC 104")


def test_nothing_global_is_left_changed(mast):
    before = sesame_url.get(), conf.remote_timeout
    resolve(mast, "SN 2013fy")
    with pytest.raises(NothingFound):
        resolve(mast, "NGC 1O4")
    assert (sesame_url.get(), conf.remote_timeout) == before


def test_each_answer_is_asked_for(mast):
    """Nothing is kept: a position that was corrected is seen."""
    assert resolve(mast, "SN 2013fy") == pytest.approx((332.9, 0.5))
    mast.names["SN 2013fy"] = (333.0, 0.6)
    assert resolve(mast, "SN 2013fy") == pytest.approx((333.0, 0.6))

"""What is claimed of a simulated transient's light curve and counterpart, and what refutes it."""

import astropy.units as u
import pytest
from astropy.table import QTable

from hst_assets.products.columns import write_table
from hst_assets.simulate import recovery
from hst_assets.simulate.catalog_scoring import simulated_wings_mag
from hst_assets.workdir import WorkDir
from hst_assets_tests.simulate.made_light_curve import (
    RADIUS_ARCSEC,
    TRUE_UJY,
    epoch_point,
    measured_workdir,
    truth,
)

ERROR_UJY = 0.1


@pytest.fixture(autouse=True)
def aperture(monkeypatch):
    """That of a measurement of stars, which there is none of here."""
    radii = {"radius_arcsec": RADIUS_ARCSEC, "model_pix": 13.0}
    monkeypatch.setattr(recovery, "radii_of_measurement", lambda _workdir: radii)


def light_curve_claims(root, off_sigma):
    """Claims on as many measurements of epoch 2 as there are errors, in their estimates."""
    wings = simulated_wings_mag("wfc3_uvis", "F606W", RADIUS_ARCSEC)
    true = TRUE_UJY[2] * 10 ** (0.4 * wings)
    points = [epoch_point(2, true + off * ERROR_UJY, ERROR_UJY) for off in off_sigma]
    return list(recovery._light_curve(measured_workdir(root, points), truth()))


def test_a_right_light_curve_is_recovered(tmp_path):
    (claim,) = light_curve_claims(tmp_path, [0.5, -1.9, 1.0])
    assert claim.holds
    assert claim.measured == "3 of 3; worst forced in wfc3_uvis.f606w, epoch 2: -1.9"
    assert claim.limit == "90%"


@pytest.mark.parametrize("off", [2.5, -2.5])
def test_a_wrong_flux_fails_the_claim(tmp_path, off):
    (claim,) = light_curve_claims(tmp_path, [0.0, 0.0, off])
    assert not claim.holds
    assert claim.measured == f"2 of 3; worst forced in wfc3_uvis.f606w, epoch 2: {off:+.1f}"


def test_one_of_ten_may_be_off_by_chance_and_two_may_not(tmp_path):
    (one,) = light_curve_claims(tmp_path / "one", [0.0] * 9 + [2.5])
    (two,) = light_curve_claims(tmp_path / "two", [0.0] * 8 + [2.5, -2.5])
    assert (one.holds, two.holds) == (True, False)


def test_a_light_curve_of_which_nothing_was_measured_fails_the_claim(tmp_path):
    nothing = epoch_point(2, float("nan"), float("inf"), n_images=0)
    (claim,) = recovery._light_curve(measured_workdir(tmp_path, [nothing]), truth())
    assert not claim.holds
    assert claim.measured == "0 of 0; nothing was measured"


def test_nothing_is_claimed_of_what_was_not_made(tmp_path):
    workdir = WorkDir(tmp_path, "sn").create()
    assert list(recovery._light_curve(workdir, truth())) == []
    assert list(recovery._counterpart(workdir)) == []


def counterpart_claim(root, identification, separations_mas, inside):
    workdir = WorkDir(root, "sn").create()
    workdir.counterpart.parent.mkdir(parents=True)
    table = QTable(
        {"is_inside": inside, "separation": separations_mas * u.mas},
        meta={"identification": identification, "radius_99_mas": 12.34},
    )
    write_table(table, workdir.counterpart)
    (claim,) = recovery._counterpart(workdir)
    return claim


def test_one_source_that_is_the_counterpart_is_recovered(tmp_path):
    claim = counterpart_claim(tmp_path, "counterpart", [3.21, 80.0], [True, False])
    assert claim.holds
    assert claim.measured == "counterpart; sources in the circle of 99 %: 3.2 mas"
    assert claim.limit == "one within 12.3 mas"


@pytest.mark.parametrize(
    ("identification", "inside", "told"),
    [
        ("none", [False, False], "none; sources in the circle of 99 %: none"),
        ("chance", [True, False], "chance; sources in the circle of 99 %: 3.2 mas"),
        (
            "ambiguous",
            [True, True],
            "ambiguous; sources in the circle of 99 %: 3.2 mas, 8.0 mas",
        ),
        (
            "counterpart",
            [True, True],
            "counterpart; sources in the circle of 99 %: 3.2 mas, 8.0 mas",
        ),
    ],
)
def test_anything_else_than_one_counterpart_fails_the_claim(tmp_path, identification, inside, told):
    claim = counterpart_claim(tmp_path, identification, [3.21, 8.0], inside)
    assert not claim.holds
    assert claim.measured == told

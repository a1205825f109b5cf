"""Magnitudes and limits from fluxes, and the decline of a source from its points."""

import math
from dataclasses import replace

import pytest

from hst_assets.counterpart.band_measurements import (
    band_declines,
    catalog_rows,
    difference_flux,
    difference_rows,
    forced_means,
    noise_rows,
    with_magnitudes,
)
from hst_assets.counterpart.candidates import find_candidates
from hst_assets.counterpart.error_circle import ErrorBudget, ErrorTerm
from hst_assets.counterpart.image_groups import Exposure, ImageGroups
from hst_assets.counterpart.tables import BandMeasurement
from hst_assets.photometry.light_curve.limits import LocalNoise
from hst_assets.photometry.light_curve.points import Point
from hst_assets.settings import CounterpartSettings
from hst_assets_tests.counterpart.made_sources import BAND, OTHER, PLACE, sources

SETTINGS = CounterpartSettings(distance_modulus_mag=30.0, distance_modulus_error_mag=0.1)


def exposure(epoch):
    return Exposure(f"iaaa0{epoch}a1q", "a", "iaaa01", "wfc3_uvis", "F814W", epoch, 56000.0, 100.0)


GROUPS = ImageGroups(
    every=tuple(exposure(epoch) for epoch in (1, 2, 3)),
    early=(exposure(1),),
    measured=(exposure(2),),
    late=(exposure(3),),
)


def point(epoch, flux, error, *, method="forced", source=1):
    level = "exposure" if method == "forced" else "epoch"
    return Point(
        source=source,
        method=method,
        level=level,
        detector="wfc3_uvis",
        filter_name="F814W",
        epoch=epoch,
        images=(f"iaaa0{epoch}a1q",),
        mjd=56000.0,
        mjd_first=56000.0,
        mjd_last=56000.0,
        exptime_s=100.0,
        n_images=1,
        flux_ujy=flux,
        flux_error_ujy=error,
        st_minus_ab_mag=0.8,
        vega_minus_ab_mag=-0.4,
    )


def row(flux, error, **more):
    made = BandMeasurement(
        number=1, band=BAND, images="early", method="forced", n_images=1,
        flux_ujy=flux, flux_error_ujy=error, **more,
    )  # fmt: skip
    systems = {"st_minus_ab_mag": 0.8, "vega_minus_ab_mag": -0.4}
    return with_magnitudes(made, SETTINGS, pivot_angstrom=8039.0, **systems)


def test_a_flux_has_magnitudes_in_all_systems_and_an_absolute_one():
    found = row(10.0, 1.0)
    assert found.ab_mag == pytest.approx(21.4)  # 23.9 - 2.5
    assert found.st_mag == pytest.approx(22.2)
    assert found.vega_mag == pytest.approx(21.0)
    assert found.mag_error == pytest.approx(0.10857, rel=1e-4)
    assert found.absolute_mag == pytest.approx(-8.6)
    assert found.absolute_mag_error == pytest.approx(math.hypot(0.10857, 0.1), rel=1e-4)


def test_what_is_not_seen_has_limits_and_no_magnitude():
    found = row(-2.0, 1.0)
    assert math.isnan(found.ab_mag)
    assert found.limit_3sigma_mag == pytest.approx(23.9 - 2.5 * math.log10(3))
    assert found.limit_5sigma_mag == pytest.approx(23.9 - 2.5 * math.log10(5))
    assert found.absolute_limit_mag == pytest.approx(found.limit_3sigma_mag - 30.0)


def test_limits_that_are_measured_otherwise_are_kept():
    found = row(math.nan, math.inf, limit_3sigma_mag=27.0, limit_5sigma_mag=26.4)
    assert (found.limit_3sigma_mag, found.absolute_limit_mag) == (27.0, pytest.approx(-3.0))


def test_the_catalogue_gives_a_row_a_candidate_and_band():
    field = sources([0.0], [0.01], {BAND: [100.0], OTHER: [2.0]})
    budget = ErrorBudget((ErrorTerm("position", 10.0, "given"),))
    near = find_candidates(
        field, PLACE, budget,
        floor_mas=0, search_sigma=5, detection_snr=3, density_radius_arcsec=10,
    )  # fmt: skip
    rows = {each.band: each for each in catalog_rows(field, near, SETTINGS)}
    assert rows[BAND].ab_mag == pytest.approx(18.9)
    assert rows[OTHER].snr == pytest.approx(2.0)


def test_forced_photometry_is_joined_over_the_exposures_that_are_meant():
    points = [point(1, 4.0, 1.0), point(1, 6.0, 1.0), point(3, 100.0, 1.0)]
    (mean,) = forced_means(points, GROUPS.early).values()
    assert mean.flux_ujy == pytest.approx(5.0)
    assert mean.flux_error_ujy == pytest.approx(math.sqrt(0.5))


def test_a_star_that_varies_is_not_taken_for_fainter_by_its_smaller_errors():
    """10,000 and 5,000 electrons, on nothing: by own errors the mean were 6,667."""
    points = [
        replace(
            point(1, flux, math.sqrt(flux)),
            images=(image,), ujy_per_electron=1.0, expected_ujy=flux,
        )
        for image, flux in zip(point(1, 1.0, 1.0).images * 2, (1e4, 5e3), strict=True)
    ]  # fmt: skip
    (mean,) = forced_means(points, GROUPS.early).values()
    assert mean.flux_ujy == pytest.approx(7500.0)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (1, (8.0, 1.0)),  # the early epoch was subtracted: the late one is 8 below it
        (3, (7.0, 2.0)),  # the late one was: the early one is 7 above it
        (2, (15.0, math.hypot(1.0, 2.0))),
    ],
)
def test_the_decline_on_differences_is_early_minus_late(template, expected):
    points = [point(1, 7.0, 2.0, method="difference"), point(3, -8.0, 1.0, method="difference")]
    assert difference_flux(points, GROUPS, template) == pytest.approx(expected)


def test_without_a_difference_of_the_late_epoch_there_is_no_decline():
    flux, error = difference_flux([point(1, 7.0, 2.0, method="difference")], GROUPS, 2)
    assert math.isnan(flux)
    assert math.isinf(error)


def test_both_measurements_go_into_the_decline_of_a_band():
    early, late = (
        forced_means([point(1, 9.0, 1.0), point(3, 1.0, 2.0)], group)
        for group in (GROUPS.early, GROUPS.late)
    )
    points = [point(3, -8.5, 2.5, method="difference")]
    rows = difference_rows(points, GROUPS, {BAND: 1}, SETTINGS)
    (found,) = band_declines(1, early, late, rows)
    assert found.forced_sigma == pytest.approx(8.0 / math.sqrt(5.0))
    assert found.difference_sigma == pytest.approx(3.4)
    assert band_declines(2, early, late, rows) == []


def noise(epoch, scatter, formal, structure=0.0, note=""):
    return LocalNoise(
        source=0,
        detector="wfc3_uvis",
        filter_name="F814W",
        epoch=epoch,
        n_places=60,
        scatter_ujy=scatter,
        formal_ujy=formal,
        mean_ujy=0.0,
        within_arcsec=3.0,
        structure_ujy=structure,
        note=note,
    )


TWO_EARLY = ImageGroups(
    every=tuple(exposure(epoch) for epoch in (1, 2, 3)), early=(exposure(1), exposure(2))
)


@pytest.mark.parametrize(
    ("own", "sigma"),
    [
        # The larger of scatter and formal error of each epoch, by inverse variance.
        ([noise(1, 0.3, 0.2), noise(2, 0.1, 0.4)], (0.3**-2 + 0.4**-2) ** -0.5),
        # No mean makes the structure of the place smaller: the larger one, in quadrature.
        ([noise(1, 0.3, 0.2, 0.5), noise(2, 0.4, 0.4, 0.2)], math.hypot(0.24, 0.5)),
        # The late epoch has no part in it, nor has one that was not measured.
        (
            [noise(1, 0.3, 0.2), noise(2, math.nan, 0.4, note="not measured"), noise(3, 0.1, 0.1)],
            0.3,
        ),
    ],
)
def test_limits_of_early_epochs_are_joined(own, sigma):
    (found,) = noise_rows(own, TWO_EARLY, SETTINGS)
    assert found.limit_3sigma_mag == pytest.approx(23.9 - 2.5 * math.log10(3 * sigma))
    assert found.limit_5sigma_mag == pytest.approx(23.9 - 2.5 * math.log10(5 * sigma))
    assert found.note == ("not measured" if math.isnan(own[1].scatter_ujy) else "")

"""Recovered or not: made-up results of which the answer is known."""

import numpy as np
import pytest

from hst_assets.photometry.artificial_stars.recovery import (
    completeness_rows,
    filter_results,
    recovery_table,
)
from hst_assets.photometry.catalog.artificial_stars import ArtificialStars, StarsPutIn
from hst_assets.photometry.catalog.columns import parse_columns
from hst_assets.photometry.catalog.model import Catalog
from hst_assets.photometry.quality_cuts import PRESETS, QualityCuts
from hst_assets.settings.artificial_stars import ArtificialStarSettings

LABEL = "WFC3_F814W"
IMAGES = tuple(f"{number}_flc.chip1 ({LABEL}, 500.0 sec)" for number in (1, 2))
SETTINGS = ArtificialStarSettings(match_radius_pix=1.5, max_brightening_mag=0.75)


def columns():
    """Those of two images in one filter, titles and order as DOLPHOT has them."""
    from hst_assets.photometry.catalog.quantities import HST_BLOCK, PER_OBJECT

    titles = [each.title for each in PER_OBJECT]
    titles += [f"{each.title}, {LABEL}" for each in HST_BLOCK]
    titles += [f"{each.title_of_image}, {image}" for image in IMAGES for each in HST_BLOCK]
    text = "".join(f"{number}. {title}\n" for number, title in enumerate(titles, 1))
    return parse_columns(text, "made up")


def put_in(magnitudes):
    n = len(magnitudes)
    place = np.arange(n) * 10.0 + 5
    return StarsPutIn(
        np.zeros(n, np.int32),
        np.ones(n, np.int32),
        place,
        place,
        np.array(magnitudes, dtype=float)[:, None],
        (LABEL,),
    )


def result(stars, rows, **measured):
    """What was measured of some rows of the list; by default all of it right."""
    known = columns()
    n = len(rows)
    true = stars.brightness[rows, 0]
    filter_stem = known.find("vega_mag", filter_name=LABEL).name.removesuffix("_vega_mag")
    data = {each.name: np.zeros(n, each.quantity.dtype) for each in known}
    data |= {"x": stars.x[rows], "y": stars.y[rows], "object_type": np.ones(n, np.int32)}
    data |= {"snr": np.full(n, 50.0), f"{filter_stem}_vega_mag": true.copy()}
    data[f"{filter_stem}_snr"] = np.full(n, 50.0)
    for name, values in measured.items():
        column = name if name in data else f"{filter_stem}_{name}"
        data[column] = np.asarray(values, dtype=data[column].dtype)
    both = np.column_stack([true, true])
    return ArtificialStars(
        stars.extension[rows],
        stars.chip[rows],
        stars.x[rows],
        stars.y[rows],
        10 ** (-0.4 * both),
        both,
        Catalog(known, data),
    )


def table(stars, found, cuts=PRESETS["stars"]):
    return recovery_table([(1, stars, found)], cuts, {LABEL: "wfc3_uvis"}, SETTINGS)


def recovered(stars, found, cuts=PRESETS["stars"]):
    return table(stars, found, cuts)["wfc3_f814w_recovered"].tolist()


def test_every_star_of_the_list_has_a_row_mentioned_or_not():
    stars = put_in([20, 21, 22])
    rows = table(stars, result(stars, [0, 2]))
    assert rows["mentioned"].tolist() == [True, False, True]
    assert rows["found"].tolist() == [True, False, True]
    assert rows["wfc3_f814w_recovered"].tolist() == [True, False, True]
    assert rows["wfc3_f814w_true"].value.tolist() == [20, 21, 22]
    assert np.isnan(rows["wfc3_f814w_measured"].value).tolist() == [False, True, False]


def test_a_star_that_was_not_found_is_not_recovered():
    """DOLPHOT writes it with flag 16 at 0, 0, as if of type 1."""
    stars = put_in([20, 27])
    lost = result(stars, [0, 1])
    for number in (1, 2):
        lost.measured.data[lost.measured.columns.find("flag", image=number).name][1] = 16
    assert recovered(stars, lost) == [True, False]
    assert recovered(stars, lost, QualityCuts()) == [True, False]


def test_a_star_found_elsewhere_is_another_one():
    stars = put_in([24, 24, 24])
    x = stars.x + np.array([0.3, 1.4, 1.6])
    assert recovered(stars, result(stars, [0, 1, 2], x=x)) == [True, True, False]


def test_a_star_on_a_brighter_one_is_lost_and_one_that_is_measured_too_faint_is_not():
    stars = put_in([24, 24, 24])
    measured = result(stars, [0, 1, 2], vega_mag=[23.3, 23.2, 25.5])
    assert recovered(stars, measured) == [True, False, True]


def test_the_cuts_of_real_stars_hold():
    stars = put_in([24, 24, 24])
    measured = result(stars, [0, 1, 2], object_type=[1, 2, 1], snr=[50, 50, 3])
    # 'snr' alone is that of the object; the filter's decides below.
    assert recovered(stars, measured) == [True, False, True]
    strict = result(stars, [0, 1, 2])
    name = strict.measured.columns.find("snr", filter_name=LABEL).name
    strict.measured.data[name][2] = 3.9
    assert recovered(stars, strict, PRESETS["gst"]) == [True, True, False]


def test_a_star_without_a_magnitude_in_the_filter_is_not_recovered_in_it():
    stars = put_in([24, 24])
    assert recovered(stars, result(stars, [0, 1], vega_mag=[24.0, 99.999])) == [True, False]


def test_lists_are_put_together():
    first, second = put_in([20, 21]), put_in([22])
    rows = recovery_table(
        [(1, first, result(first, [0, 1])), (2, second, result(second, [0]))],
        PRESETS["stars"],
        {},
        SETTINGS,
    )
    assert rows["chunk"].tolist() == [1, 1, 2]
    results = filter_results(rows, [LABEL], SETTINGS)
    assert results[LABEL].curve.n_in.sum() == 3
    assert [limit.share for limit in results[LABEL].limits] == [0.5, 0.8]
    assert [row["filter"] for row in completeness_rows(results)] == [LABEL] * 5
    assert completeness_rows(results)[0]["n_in"] == 1


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_limit_that_was_not_reached_is_said(share):
    stars = put_in([20.0, 20.5, 21.0])
    rows = table(stars, result(stars, [0, 1, 2]))
    (limit,) = (
        limit
        for limit in filter_results(rows, [LABEL], SETTINGS)[LABEL].limits
        if limit.share == share
    )
    assert np.isnan(limit.magnitude)
    assert "put in fainter ones" in limit.note

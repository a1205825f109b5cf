import numpy as np
import pytest

from hst_assets.failures import UnusableInput
from hst_assets.report.footprints import sky_chart


def row(footprint, **others):
    values = {"rootname": "iaaa01a1q", "detector_key": "wfc3_uvis", "filter": "F606W"}
    return values | {"used": True, "reason": "", "footprint": footprint} | others


#: One arcmin on a side, about RA 0 and the equator; its first corner is the south-western.
SQUARE = (
    "POLYGON ICRS 359.9916667 -0.0083333 359.9916667 0.0083333 "
    "0.0083333 0.0083333 0.0083333 -0.0083333"
)


def points(outline):
    return np.array([[float(each) for each in pair.split(",")] for pair in outline.points.split()])


def test_west_is_right_and_north_is_up_across_ra_0():
    chart = sky_chart([row(SQUARE)], (0.0, 0.0))
    # 0.0083333 degrees are 30 arcsec; SVG's y grows downwards.
    assert points(chart.outlines[0]) == pytest.approx(
        np.array([[30, 30], [30, -30], [-30, -30], [-30, 30]]), abs=0.01
    )


def test_the_target_is_marked_where_it_is():
    chart = sky_chart([row(SQUARE)], (0.0, 0.0))
    assert chart.cross.startswith("M0.")
    assert sky_chart([row(SQUARE)], None).cross == ""


def test_bands_have_colours_and_what_is_not_used_its_reason():
    chart = sky_chart(
        [row(SQUARE), row(SQUARE, filter="F814W", used=False, reason="trailed")], None
    )
    assert [name for name, _ in chart.bands] == ["wfc3_uvis F606W", "wfc3_uvis F814W"]
    assert len({ink for _, ink in chart.bands}) == 2
    assert chart.outlines[1].label == "iaaa01a1q wfc3_uvis F814W (not used: trailed)"


@pytest.mark.parametrize("footprint", ["", "CIRCLE ICRS 1 2 3"])
def test_what_cannot_be_drawn_is_counted(footprint):
    chart = sky_chart([row(SQUARE), row(footprint)], None)
    assert (len(chart.outlines), chart.n_without) == (1, 1)


def test_an_exposure_on_the_other_side_of_the_sky_is_not_drawn():
    with pytest.raises(UnusableInput, match="other side of the sky"):
        sky_chart([row(SQUARE)], (180.0, 0.0))


def test_no_footprint_is_no_chart():
    with pytest.raises(UnusableInput, match="no exposure has a footprint"):
        sky_chart([row("")], None)


def test_the_bar_is_shorter_than_the_chart():
    chart = sky_chart([row(SQUARE)], None)
    assert chart.bar_arcsec == 20  # of 30 % of 69.6 arcsec


def test_there_is_room_for_the_bar_below_the_outlines():
    chart = sky_chart([row(SQUARE)], (0.0, 0.0))
    lowest = max(points(outline)[:, 1].max() for outline in chart.outlines)
    # The template has the bar 0.04, and the top of its text 0.09 of the height above the edge.
    assert chart.top + 0.91 * chart.height > lowest

"""Diagrams: what is drawn is where the stars are, and what cannot be drawn is said."""

import numpy as np
import pytest
from PIL import Image

from hst_assets.failures import UnusableInput
from hst_assets.photometry import diagrams
from hst_assets.photometry.artificial_stars.completeness import (
    completeness_curve,
    magnitude_limit,
)
from hst_assets.photometry.diagrams import (
    write_colour_magnitude_diagram,
    write_completeness_diagram,
)

KEPT_RGB = np.array([0x1F, 0x4E, 0x79])


def pixels(path, rgb):
    """Height, and rows and columns of the pixels of one colour, or nearly: lines are smoothed."""
    with Image.open(path) as opened:
        picture = np.array(opened.convert("RGB")).astype(int)
    return picture.shape[0], *np.nonzero(np.abs(picture - rgb).max(axis=2) < 40)


def test_bright_stars_are_up_and_red_ones_right(tmp_path):
    """A main sequence that reddens as it becomes fainter falls from the upper left."""
    red = np.linspace(18, 25, 4000)
    blue = red + np.linspace(0, 3, 4000)
    path = tmp_path / "cmd.png"
    write_colour_magnitude_diagram(blue, red, np.ones(4000, bool), path, names=("F606W", "F814W"))
    _, rows, columns = pixels(path, KEPT_RGB)
    assert len(rows) > 300
    assert np.corrcoef(rows, columns)[0, 1] > 0.9


@pytest.mark.parametrize(
    ("systems", "axes"),
    [
        (("Vega", "Vega"), ("F555W - F606W (Vega mag)", "F606W (Vega mag)")),
        (("AB", "AB"), ("F555W - F606W (AB mag)", "F606W (AB mag)")),
        (
            ("instrumental", "Vega"),
            ("F555W (instrumental) - F606W (Vega) (mag)", "F606W (Vega mag)"),
        ),
    ],
)
def test_the_axes_name_the_systems(tmp_path, monkeypatch, systems, axes):
    drawn = []
    saved = diagrams._save
    monkeypatch.setattr(
        diagrams, "_save", lambda figure, path: drawn.append(figure) or saved(figure, path)
    )
    values = np.linspace(18, 25, 9)
    write_colour_magnitude_diagram(
        values,
        values,
        np.ones(9, bool),
        tmp_path / "cmd.png",
        names=("F555W", "F606W"),
        systems=systems,
    )
    (upper,) = drawn[0].axes
    assert (upper.get_xlabel(), upper.get_ylabel()) == axes


def test_a_catalogue_without_colours_has_no_diagram(tmp_path):
    nothing = np.full(3, np.nan)
    with pytest.raises(UnusableInput, match="both F606W and F814W"):
        write_colour_magnitude_diagram(
            nothing, np.ones(3), np.ones(3, bool), tmp_path / "x.png", names=("F606W", "F814W")
        )
    assert not list(tmp_path.iterdir())


def test_completeness_falls_to_the_right(tmp_path):
    rng = np.random.default_rng(1)
    true = rng.uniform(22, 28, 3000)
    found = rng.uniform(size=3000) < 1 / (1 + np.exp((true - 25.5) / 0.3))
    curve = completeness_curve(true, true + 0.05 * rng.standard_normal(3000), found)
    path = tmp_path / "completeness.png"
    limits = {"F606W": magnitude_limit(true, found, 0.5)}
    write_completeness_diagram({"F606W": curve}, limits, path)
    height, rows, columns = pixels(path, KEPT_RGB)
    upper = rows < 0.48 * height
    left = columns < np.percentile(columns[upper], 30)
    assert np.median(rows[upper & left]) < np.median(rows[upper & ~left])

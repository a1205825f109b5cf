"""DOLPHOT's warnings as a list."""

from pathlib import Path

import pytest

from hst_assets.photometry.dolphot.run_warnings import RunWarning, read_warnings

SHARED = Path(__file__).parents[4] / "shared" / "data" / "dolphot_reference"
NAME = "iaaa011_flc.chip1 (F814W, 500.0 sec)"


@pytest.mark.parametrize(
    ("line", "kind", "image", "value", "is_problem"),
    [
        ("Only 188 stars for alignment", "few alignment stars", None, 188, False),
        ("Only 37 stars for PSF measurement", "few psf stars", None, 37, False),
        (f"Only 9 stars for PSF measurement in image 2, {NAME}", "few psf stars", 2, 9, False),
        (f"Only 45 aperture stars in image 1, {NAME}", "few aperture stars", 1, 45, False),
        (f"Only 7 alignment stars used for image 3, {NAME}", "few alignment stars", 3, 7, True),
        (f"No alignment stars matched for image 12, {NAME}", "no alignment stars", 12, None, True),
        (f"No alignment stars trimmed for image 1, {NAME}", "no alignment stars", 1, None, True),
        (
            f"Large alignment scatter (1.234 pix) for image 1, {NAME}",
            "large alignment scatter",
            1,
            1.234,
            True,
        ),
        ("Something new", "other", None, None, True),
    ],
)
def test_each_line_is_understood(tmp_path, line, kind, image, value, is_problem):
    path = tmp_path / "dp0000.warnings"
    path.write_text(f"{line}\n\n")
    name = "" if image is None else NAME
    assert read_warnings(path) == [
        RunWarning(kind, line, image=image, name=name, value=value, is_problem=is_problem)
    ]


@pytest.mark.skipif(not SHARED.is_dir(), reason="no reference data beside the checkout")
@pytest.mark.parametrize("run", ["generic/gen", "wfc3_uvis_2filt/dp", "crowded_1k/dp"])
def test_no_line_of_a_real_run_is_unknown(run):
    found = read_warnings(SHARED / f"{run}.warnings")
    assert found
    assert [warning.text for warning in found if warning.kind == "other"] == []

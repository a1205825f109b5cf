"""Whether a run is believed: what DOLPHOT 2.0 was seen to say and do, case by case.

`hst_assets_tests.photometry.dolphot.test_catalog_run` has the verdicts on whole runs.
"""

from pathlib import Path

import pytest

from hst_assets.failures import HstAssetsError, ToolFailed, UnusableInput
from hst_assets.photometry.dolphot.program_run import Ended
from hst_assets.photometry.dolphot.verdict import judge

SHARED = Path(__file__).parents[4] / "shared" / "data" / "dolphot_reference"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="no reference data beside the checkout"
)
ROW = "0 1 10.0 20.0\n"
COLUMNS = "1. a\n2. b\n3. c\n4. d\n"
GOOD = "** Chip 1 **\n2 stars written; 1 stars deleted\n"


def ended(output=GOOD, code=0, stopped=""):
    return Ended(code, stopped, 1.0, output)


@pytest.fixture
def catalog(tmp_path):
    (tmp_path / "dp.columns").write_text(COLUMNS)
    (tmp_path / "dp").write_text(2 * ROW)
    return tmp_path / "dp"


def test_a_sound_run_is_believed(catalog):
    verdict = judge(ended(), catalog, n_images=1)
    assert (verdict.n_stars, verdict.n_deleted, verdict.n_columns) == (2, 1, 4)
    assert verdict.remarks == ()


def test_every_chip_must_be_written(catalog):
    two = "** Extension 1, Chip 1 **\n2 stars written; 0 stars deleted\n** Extension 2, Chip 1 **\n"
    with pytest.raises(ToolFailed, match="1 of 2 chips"):
        judge(ended(two), catalog, n_images=1)
    verdict = judge(ended(f"{two}0 stars written; 4 stars deleted\n"), catalog, n_images=1)
    assert (verdict.n_stars, verdict.n_deleted) == (2, 4)


@pytest.mark.parametrize("row", ["0 1 10.0\n", "0 1 10.0 20.0 5\n", "0 1 10.0 20.0"])
def test_a_row_of_another_length_or_without_an_end_is_no_row(catalog, row):
    catalog.write_text(ROW + row)
    with pytest.raises(ToolFailed, match="has 1 rows, DOLPHOT wrote 2"):
        judge(ended(), catalog, n_images=1)


def test_no_success_without_exit_status_0(catalog):
    with pytest.raises(ToolFailed, match="status 3"):
        judge(ended(code=3), catalog, n_images=1)


def test_unknown_names_and_remarks_are_told(catalog):
    catalog.write_text(ROW + "0 1 -nan 20.0\n")
    said = (
        "Cannot match parameter name:\nimg0001_RSky2\nCannot match parameter name:\nNegSky\n"
        "Reducing RChi to 2.000000 for image 1\nPoorly converging PSF\n"
    )
    verdict = judge(ended(said + GOOD), catalog, n_images=1)
    assert verdict.unknown_parameters == ("RSky2", "NegSky")
    assert verdict.remarks == (
        "Reducing RChi to 2.000000 for image 1",
        "Poorly converging PSF",
        "1 rows of the catalogue have values that are not finite",
    )


def test_a_failure_has_its_last_words_and_its_place(catalog):
    with pytest.raises(UnusableInput) as caught:
        judge(ended("a\n****Sky does not match the image\n", 255), catalog, n_images=1, where="log")
    assert caught.value.where == "log"
    assert caught.value.log_tail == ("a", "****Sky does not match the image")


@needs_shared
@pytest.mark.parametrize(
    ("run", "n_images", "counts"),
    [("generic/gen", 3, (303, 79, 62)), ("wfc3_uvis_2filt/dp", 4, (769, 478, 89))],
)
def test_real_runs_are_believed(run, n_images, counts):
    output = (SHARED / f"{run}.output").read_text()
    verdict = judge(ended(output), SHARED / run, n_images=n_images)
    assert (verdict.n_stars, verdict.n_deleted, verdict.n_columns) == counts


def cases():
    """The cases of the reference notes: (name, exit status, what was printed)."""
    path = SHARED / "behaviours.txt"
    text = path.read_text() if path.is_file() else ""
    found = []
    name = ""
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if line.startswith("=== dolphot"):
            ends = next((j for j in range(i + 2, len(lines)) if lines[j].startswith("===")), None)
            output = "\n".join(lines[i + 2 : ends])
            found.append((f"{name}: {line}", int(lines[i + 1].removeprefix("rc=")), output))
        name = lines[i - 1] if i else ""
        name = line if line and not line.startswith(("=", " ", "rc=")) else name
    return found


@needs_shared
@pytest.mark.parametrize(("case", "code", "output"), cases(), ids=lambda value: str(value)[:40])
def test_no_case_of_the_notes_is_believed_without_a_catalogue(tmp_path, case, code, output):
    """All of them ended with an empty catalogue, or after the alignment, most with status 0."""
    (tmp_path / "dp.columns").write_text(COLUMNS)
    (tmp_path / "dp").write_text("")
    with pytest.raises(HstAssetsError):
        judge(ended(f"{output}\n", code), tmp_path / "dp", n_images=3)

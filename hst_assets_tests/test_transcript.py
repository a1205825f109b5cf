"""The transcript of the first hour: how what a page shows is compared with what is printed."""

import importlib.util
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).parents[1] / "docs" / "_transcript" / "check.py"
SHOWN = ["4 files ingested; visits: idem03", "...", "12 s in total, 3.10 MB, scale 0.1280"]


@pytest.fixture(scope="module")
def check():
    spec = importlib.util.spec_from_file_location("transcript_check", CHECK)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        yield module


def difference(check, printed, status=0, shown=SHOWN, expected=0):
    return check.difference(check.Step("command", tuple(shown), expected), printed, status)


def test_times_sizes_and_lines_that_are_left_out_may_be_any(check):
    printed = [SHOWN[0], "more", "and more", "97 s in total, 0.2 MB, scale 0.1280"]
    assert difference(check, printed) == ""
    assert difference(check, [SHOWN[0], SHOWN[2]]) == ""


def test_the_last_digits_of_decimals_may_be_others(check):
    assert difference(check, [SHOWN[0], "12 s in total, 3.10 MB, scale 0.1285"]) == ""


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        (0, "4 files taken; visits: idem03"),
        (0, "5 files ingested; visits: idem03"),
        (0, "4 files ingested; visits: idem04"),
        (2, "12 s in total, 3.10 MB, scale 0.1288"),
    ],
)
def test_another_word_or_number_is_a_difference(check, line, printed):
    lines = [SHOWN[0], "more", SHOWN[2]]
    lines[line] = printed
    assert f"printed was\n{lines[0]}" in difference(check, lines)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("pixfrac = 0.8", "pixfrac = 1.0"),
        ("± 0.020", "± 0.000"),
        ("± 0.006", "± -0.006"),
        ("S/N 55.0", "S/N 53.0"),
        ("+0.23 mag", "+0.27 mag"),
        ("MJD 57210.266", "MJD 57210.383"),
    ],
)
def test_a_decimal_with_another_meaning_is_a_difference(check, shown, printed):
    assert difference(check, [printed], shown=[shown])


@pytest.mark.parametrize(
    ("shown", "printed"),
    [("S/N 55.0", "S/N 54.8"), ("0.02", "0.04"), ("24.7146 uJy", "24.7179 uJy")],
)
def test_a_decimal_of_few_digits_may_differ_by_little(check, shown, printed):
    assert difference(check, [printed], shown=[shown]) == ""


def test_a_line_too_many_or_too_few_is_a_difference(check):
    assert difference(check, [*SHOWN, "and another"])
    assert difference(check, SHOWN[:2])


@pytest.mark.parametrize("shown", [SHOWN, SHOWN[:2]])
def test_a_command_that_fails_is_a_difference_unless_the_page_says_so(check, shown):
    assert "(exit status 3)" in difference(check, SHOWN, 3, shown)
    assert difference(check, SHOWN, 3, shown, 3) == ""
    assert difference(check, SHOWN, 0, shown, 3)


def test_a_command_has_its_lines_and_its_exit_status(check, tmp_path):
    assert check.run("echo $HST_ASSETS_ROOT/x; exit 3", tmp_path) == (["data/x"], 3)


def test_the_page_is_read_command_by_command(check):
    one = "```console\n$ one --a\nprinted\n(exit status 2)\n$ two\n```\n"
    text = f"{one}\n```console\n$ three\n...\n```\n"
    steps = [(step.command, step.shown, step.status) for step in check.steps(text)]
    assert steps == [("one --a", ("printed",), 2), ("two", (), 0), ("three", ("...",), 0)]


def test_a_page_without_commands_is_no_success(check, tmp_path, monkeypatch):
    (tmp_path / "demo-sn").mkdir()
    page = check.PROJECT / "docs" / "guide" / "removing.md"
    assert not list(check.steps(page.read_text()))
    monkeypatch.setattr(check, "PAGE", page)
    monkeypatch.setattr(sys, "argv", ["check", "--root", str(tmp_path)])
    assert check.main() == 1

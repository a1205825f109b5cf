from dataclasses import replace

from hst_assets.alerting.message import one_line


def test_a_message_says_what_failed_where_why_and_what_to_do(alert):
    assert alert.text.splitlines() == [
        "hst_assets: aligned_exposures, epoch_drizzles failed for sn1/iaaa01",
        "target: sn1",
        "visit: iaaa01",
        "asset: aligned_exposures, epoch_drizzles",
        "why: iaaa01a0q: no stars",
        "what to do: Look at the image",
        "run: 01234567 of visit_images, ended 2026-11-30T12:00:00+00:00",
        "http://here/runs/0123456789abcdef",
    ]


def test_a_run_without_partition_and_assets_is_called_by_its_job(alert):
    bare = replace(alert, target="", visit="", assets=(), next_step="", link="", job="left_failed")
    assert bare.subject == "hst_assets: left_failed failed"
    assert len(bare.text.splitlines()) == 3


def test_what_a_header_says_makes_no_line_of_its_own(alert):
    hostile = replace(alert, why="no stars\r\nBcc: all@example.org\x1b[31m\u202e" + 1000 * "x")
    (line,) = [line for line in hostile.text.splitlines() if line.startswith("why")]
    assert len(line) < 620
    assert not {"\x1b", "\u202e", "\r"} & set(hostile.text)
    assert "\n" not in hostile.as_json()["why"]


def test_an_empty_text_stays_empty():
    assert one_line("") == ""

"""What the log of an exposure says of the tries to align it."""

from hst_assets.astrometry.methods.tried import log_tries, tries_in_words

TRY = {
    "fit_geometry": "rshift",
    "threshold_sigma": 10.0,
    "tolerance_pix": 1.0,
    "search_radius_pix": 8,
    "n_sources": 5,
    "n_reference": 40,
    "status": "FAIL",
    "reason": "5 sources on the exposure, 40 on the reference: too few",
}


def test_each_try_is_told_with_what_was_asked_and_what_came_of_it():
    first, second = tries_in_words([TRY, TRY | {"n_matches": 3, "status": "PASS", "reason": ""}])
    assert first == (
        "1: fit rshift, threshold 10.0 sigma, tolerance 1.0 pix, search 8 pix, 5 sources, "
        "40 of the reference: FAIL (5 sources on the exposure, 40 on the reference: too few)"
    )
    assert second.endswith("40 of the reference, 3 matches: PASS")


def test_a_failure_is_added_to_the_log_with_its_verdict(tmp_path):
    log = tmp_path / "x.log"
    log.write_text("of the tool\n")
    log_tries(log, [TRY], status="FAIL", reason="too few")
    lines = log.read_text().splitlines()
    assert lines[:2] == ["of the tool", "--- tried"]
    assert lines[-1] == "verdict: FAIL (too few)"


def test_an_exposure_that_was_not_tried_says_so(tmp_path):
    log_tries(tmp_path / "x.log", [], status="FAIL", reason="its stars are trailed")
    assert "nothing: no fit was tried" in (tmp_path / "x.log").read_text()


def test_a_log_that_cannot_be_written_costs_no_alignment(tmp_path):
    log_tries(tmp_path / "gone" / "x.log", [TRY], status="FAIL")
    assert not (tmp_path / "gone").exists()

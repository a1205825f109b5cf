"""Checks of the Hubble Advanced Products of a visit, judged from the facts of their steps."""

from __future__ import annotations

from functools import partial
from typing import Any

from hst_assets.failures import UnusableInput
from hst_assets.hap.quality.limits import KINDS_OF_QUALITY
from hst_assets.orchestration.checks import Check, Finding, listed, not_checked
from hst_assets.provenance import Made
from hst_assets.workdir import WorkDir

__all__ = [
    "ALIGNED_TO_GAIA",
    "ALL_EXPOSURES_IN_MOSAICS",
    "ALL_FILTERS_COMBINED",
    "ALL_TESTS_RUN",
    "COMPARED_WITH_HLA",
    "EXPOSURES_TAKEN",
    "KINDS_GOOD",
    "MOSAICS_ALIGNED",
    "RETURN_CODE",
    "SOME_WCS_ACCEPTED",
    "SOURCES_FOUND",
]


def _exposures_taken(made: Made, _workdir: WorkDir) -> Finding:
    facts = made.facts
    rejected: list[Any] = facts["rejected"]
    text = f"{facts['n_exposures'] - len(rejected)} of {facts['n_exposures']} exposures are taken"
    if rejected:
        text += f"; rejected by HAP: {listed(rejected)}"
    if not facts["n_products"]:
        text += f"; {facts['ends_with']}"
    return Finding(passed=not rejected and facts["n_products"] > 0, text=text)


def _aligned_to_gaia(made: Made, _workdir: WorkDir) -> Finding:
    facts = made.facts
    if facts.get("note"):
        return not_checked(str(facts["note"]))
    problems = [*facts["failed"], *facts["not_fitted"]]
    text = f"{facts['n_fitted']} of {facts['n_exposures']} exposures are fitted"
    if problems:
        text += f"; not: {listed(problems)}"
    return Finding(passed=not problems, text=text)


def _some_wcs_accepted(made: Made, _workdir: WorkDir) -> Finding:
    facts = made.facts
    if facts.get("note"):
        return Finding(passed=True, text=f"does not apply: {facts['note']}")
    usable, total = facts["n_detectors_usable"], facts["n_detectors"]
    text = f"{usable} of {total} detectors may be drizzled"
    if facts["accepts_a_priori_wcs"]:
        text += "; any WCS is accepted (hap.accept_a_priori_wcs)"
    elif usable < total:
        text += "; hap.accept_a_priori_wcs accepts the WCS that the exposures came with"
    kind = "" if usable else UnusableInput.__name__
    return Finding(passed=usable > 0, text=text, kind=kind)


def _all_filters_combined(made: Made, _workdir: WorkDir) -> Finding:
    if made.facts.get("note"):
        return not_checked(str(made.facts["note"]))
    lacking: list[Any] = made.facts["without"]
    text = f"made without {listed(lacking)}" if lacking else "every filter is in it"
    return Finding(passed=not lacking, text=text)


def _sources_found(made: Made, _workdir: WorkDir) -> Finding:
    facts = made.facts
    if facts.get("note"):
        return not_checked(str(facts["note"]))
    if not facts["n_catalogs"]:
        return not_checked("there is no catalogue")
    told = [f"{name}: no source" for name in facts["empty"]] + list(facts["notes"])
    counts = [f"{each['n_sources']} in {each['file']}" for each in facts["catalogs"]]
    return Finding(passed=not told, text=listed(told or counts))


def _all_tests_run(made: Made, _workdir: WorkDir) -> Finding:
    if made.facts.get("note"):
        return not_checked(str(made.facts["note"]))
    tests: list[Any] = made.facts["tests"]
    lacking = [f"{each['test']}: {each['outcome']}" for each in tests if each["outcome"] != "done"]
    told = [*lacking, *made.facts["not_tested"]]
    if told or not tests:
        text = f"{len(tests) - len(lacking)} of {len(tests)} tests ran"
        return not_checked("; ".join([text, *([listed(told)] if told else [])]))
    return Finding(passed=True, text=f"{len(tests)} tests ran")


def _kind_good(made: Made, _workdir: WorkDir, *, kind: str) -> Finding:
    if made.facts.get("note"):
        return not_checked(str(made.facts["note"]))
    (told,) = [each for each in made.facts["verdicts"] if each["kind"] == kind]
    if told["verdict"] == "not checked":
        return not_checked(str(told["reason"]))
    return Finding(passed=told["verdict"] == "good", text=f"{told['verdict']}: {told['reason']}")


def _compared_with_hla(made: Made, _workdir: WorkDir) -> Finding:
    facts = made.facts
    if facts.get("note") or facts["skipped"]:
        return not_checked(str(facts.get("note") or facts["skipped"]))
    rows: list[Any] = facts["compared"]
    lacking = [
        f"{each['catalog']}: {each['outcome']}" for each in rows if each["outcome"] != "done"
    ]
    text = f"{facts['n_compared']} of {len(rows)} catalogues are compared"
    if lacking:
        return not_checked(f"{text}; {listed(lacking)}")
    return Finding(passed=True, text=text)


def _all_in_mosaics(made: Made, _workdir: WorkDir) -> Finding:
    if made.facts.get("note"):
        return not_checked(str(made.facts["note"]))
    lacking: list[Any] = made.facts["left_out"]
    return Finding(passed=not lacking, text=listed(lacking) or "no exposure is left out")


def _mosaics_aligned(made: Made, _workdir: WorkDir) -> Finding:
    if made.facts.get("note"):
        return not_checked(str(made.facts["note"]))
    names: list[Any] = made.facts["not_aligned"]
    text = f"not aligned to Gaia: {listed(names)}" if names else "all are fitted to Gaia"
    return Finding(passed=not names, text=text)


def _return_code(made: Made, _workdir: WorkDir) -> Finding:
    facts = made.facts
    text = f"{facts['return_code']}: {facts['meaning']}"
    if facts["problems"]:
        text += f"; {listed(facts['problems'])}"
    if facts["not_fitted"]:
        text += f"; {len(facts['not_fitted'])} exposures are not aligned (no exit code tells this)"
    if facts["n_lacking"]:
        text += f"; missing: {listed(facts['lacking'])}"
    wrong = facts["return_code"] or facts["not_fitted"] or facts["n_lacking"]
    return Finding(passed=not wrong, text=text)


EXPOSURES_TAKEN = Check(
    "all_exposures_taken", "HAP takes every exposure of the poller.", _exposures_taken
)
ALIGNED_TO_GAIA = Check(
    "aligned_to_gaia",
    "The WCS of each exposure is a fit to stars of the catalogue (WCSNAME has -FIT_).",
    _aligned_to_gaia,
)
SOME_WCS_ACCEPTED = Check(
    "some_wcs_accepted",
    "The exposures of at least one detector are aligned to Gaia, or their WCS is accepted.",
    _some_wcs_accepted,
    blocking=True,
)
ALL_FILTERS_COMBINED = Check(
    "all_filters_combined",
    "Each total image combines all filters of its detector.",
    _all_filters_combined,
)
SOURCES_FOUND = Check(
    "sources_found",
    "Each catalogue has sources, found as HAP means to find them.",
    _sources_found,
)
ALL_TESTS_RUN = Check("all_tests_run", "All of HAP's quality tests ran.", _all_tests_run)
#: One of each kind of test.
KINDS_GOOD = tuple(
    Check(
        f"quality_{kind}",
        f"HAP's quality test of this kind is good ({compared}).",
        partial(_kind_good, kind=kind),
    )
    for kind, compared in KINDS_OF_QUALITY.items()
)
COMPARED_WITH_HLA = Check(
    "compared_with_hla",
    "Each catalogue is compared with that of the Hubble Legacy Archive.",
    _compared_with_hla,
)
ALL_EXPOSURES_IN_MOSAICS = Check(
    "all_exposures_in_mosaics",
    "Each aligned exposure of the visits is in the mosaics.",
    _all_in_mosaics,
)
MOSAICS_ALIGNED = Check(
    "mosaics_aligned",
    "The exposures of the mosaics are aligned to Gaia.",
    _mosaics_aligned,
)
RETURN_CODE = Check(
    "return_code",
    "runsinglehap would have exited with 0, all products exist, all exposures are aligned.",
    _return_code,
)

"""Checks of photometry, light curves and counterparts, judged from the facts of their steps."""

from __future__ import annotations

from typing import Any

from hst_assets.failures import NothingFound, failure_named, may_work_again, shared_kind
from hst_assets.orchestration.checks import Check, Finding, listed, none_failed, not_checked
from hst_assets.provenance import Made
from hst_assets.workdir import WorkDir

__all__ = [
    "ALL_LISTS_MEASURED",
    "ALL_METHODS_MEASURED",
    "ALL_PREPARED",
    "COUNTERPART_CLEAR",
    "ERROR_CIRCLE_TOLD",
    "LIMITS_REACHED",
    "METHODS_AGREE",
    "PHOTOMETER_WARNINGS",
    "STARS_LEFT",
    "STAR_OF_TARGET",
]

#: Fluxes of one epoch by two methods differ by no more of their errors.
_MOST_SIGMA = 3.0


def _all_prepared(made: Made, _workdir: WorkDir) -> Finding:
    facts = made.facts
    text = f"{facts['n_chips']} chips of {facts['n_exposures']} exposures are ready"
    if facts["chips_left_out"]:
        text += f"; {facts['chips_left_out']} chips without the target left out"
    rejected: list[Any] = facts["rejected"]
    if rejected:
        text += f"; rejected: {listed(rejected)}"
    if not facts["n_chips"]:
        return Finding(passed=False, text=text, severity="ERROR", kind=NothingFound.__name__)
    kinds = [failure_named(kind) for kind in facts.get("failures", {}).values()]
    if any(may_work_again(kind) for kind in kinds):
        kind = shared_kind(kinds)
        return Finding(passed=False, text=text, severity="ERROR", kind=kind.__name__)
    return Finding(passed=not rejected, text=text)


def _photometer_warnings(made: Made, _workdir: WorkDir) -> Finding:
    facts = made.facts
    told = [str(warning["text"]) for warning in facts["warnings"] if warning["is_problem"]]
    told += [str(remark) for remark in facts["remarks"]]
    lacking: list[Any] | None = facts.get("libraries_not_found")
    if lacking:
        told.append(f"no PSF library found: {listed(lacking)}")
    if told:
        return Finding(passed=False, text=listed(told))
    if lacking is None:
        return not_checked(
            "the folder of DOLPHOT's PSF libraries is not known; DOLPHOT gave no warnings"
        )
    return Finding(passed=True, text="no warnings")


def _stars_left(made: Made, _workdir: WorkDir) -> Finding:
    n_stars, n_objects = made.facts["n_stars"], made.facts["n_objects"]
    if "cuts" not in made.facts:
        return not_checked("the run ended after the alignment (dolphot.AlignOnly)")
    cuts = [f"{cut['cut']} {cut['limit']}: {cut['removed_first']}" for cut in made.facts["cuts"]]
    text = f"{n_stars} of {n_objects} objects pass the cuts"
    return Finding(passed=n_stars > 0, text=f"{text}; removed by {listed(cuts)}" if cuts else text)


def _all_lists_measured(made: Made, _workdir: WorkDir) -> Finding:
    facts = made.facts
    on_no_image = facts["n_stars"] - facts["n_mentioned"]
    text = (
        f"{facts['n_stars']} artificial stars, {facts['n_found']} found, {on_no_image} on no image"
    )
    return none_failed(made, text)


def _limits_reached(made: Made, _workdir: WorkDir) -> Finding:
    limits: list[Any] = made.facts["limits"]
    lacking = [
        f"{limit['filter']} {limit['share']:.0%}: {limit['note']}"
        for limit in limits
        if limit["magnitude"] is None
    ]
    if lacking:
        return not_checked(listed(lacking))
    known = [f"{each['filter']} {each['share']:.0%} at {each['magnitude']:.2f}" for each in limits]
    return Finding(passed=True, text=listed(known))


def _all_methods_measured(made: Made, _workdir: WorkDir) -> Finding:
    lacking: list[Any] = made.facts["not_measured"]
    if lacking:
        return not_checked(listed(lacking))
    return Finding(passed=True, text=f"{made.facts['n_points']} points")


def _methods_agree(made: Made, _workdir: WorkDir) -> Finding:
    comparisons: list[dict[str, Any]] = made.facts["compared"]
    if not comparisons:
        return not_checked("no epoch was measured by two methods")
    apart = [
        f"{each['methods']} in {each['band']}, epoch {each['epoch']}: {each['sigma']} sigma"
        for each in comparisons
        if abs(each["sigma"]) > _MOST_SIGMA
    ]
    worst = max(abs(each["sigma"]) for each in comparisons)
    well = f"{len(comparisons)} pairs of epochs differ by at most {worst} sigma"
    return Finding(passed=not apart, text=listed(apart) or well)


def _star_of_target(made: Made, _workdir: WorkDir) -> Finding:
    facts = made.facts
    if not facts["star"]:
        return not_checked(facts["star_note"] or "there is no catalogue")
    text = (
        f"object {facts['star']}, {facts['offset_arcsec']} arcsec ({facts['offset_sigma']} sigma)"
    )
    if facts["star_note"]:
        text += f": {facts['star_note']}"
    return Finding(passed=not facts["star_note"], text=text)


def _error_circle_told(made: Made, _workdir: WorkDir) -> Finding:
    unknown: list[Any] = made.facts["unknown_terms"]
    if unknown:
        return not_checked(f"unknown terms of the error: {listed(unknown)}")
    return Finding(
        passed=True, text=f"{made.facts['error_mas']:g} mas on an axis, every term known"
    )


def _counterpart_clear(made: Made, _workdir: WorkDir) -> Finding:
    found = made.facts["identification"]
    if found == "not covered":
        return not_checked("no earlier exposure has a good pixel at the position")
    if found == "not decided":
        return not_checked("the error of the position or the density of sources is not known")
    told = {
        "counterpart": "one candidate, unlikely to be a chance coincidence",
        "none": "no source in the earlier images; see the limits",
        "ambiguous": f"ambiguous: {made.facts['n_inside']} sources within the circle of 99 %",
        "chance": "the only candidate may be a chance coincidence",
    }
    return Finding(passed=found in ("counterpart", "none"), text=told[found])


ALL_PREPARED = Check(
    "all_exposures_prepared",
    "Each exposure in use is prepared for photometry.",
    _all_prepared,
)
PHOTOMETER_WARNINGS = Check(
    "photometer_warnings",
    "The photometer gave no warnings: there are enough stars for PSF and aperture corrections "
    "and, for DOLPHOT, for its alignment.",
    _photometer_warnings,
)
STARS_LEFT = Check("stars_left", "Some objects pass the quality cuts.", _stars_left)
ALL_LISTS_MEASURED = Check(
    "all_lists_measured", "Every list of artificial stars was measured.", _all_lists_measured
)
LIMITS_REACHED = Check(
    "limits_reached",
    "The artificial stars cover magnitudes from complete to incomplete.",
    _limits_reached,
)
ALL_METHODS_MEASURED = Check(
    "all_methods_measured",
    "Each method that can measure the place has points.",
    _all_methods_measured,
)
METHODS_AGREE = Check(
    "methods_agree",
    "Fluxes of an epoch by different methods agree within three errors.",
    _methods_agree,
)
STAR_OF_TARGET = Check(
    "star_of_target",
    "The star chosen from the catalogue agrees with the target's position within the errors.",
    _star_of_target,
)
ERROR_CIRCLE_TOLD = Check(
    "error_circle_told",
    "All terms of the position's error are known: centroid, alignment of both epochs, frame.",
    _error_circle_told,
)
COUNTERPART_CLEAR = Check(
    "counterpart_clear",
    "There is one candidate that is unlikely to be a chance coincidence, or none.",
    _counterpart_clear,
)

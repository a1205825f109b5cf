"""Asset checks: what must hold of a product, judged from the facts its step reported.

Each check runs inside the step that made the product, so it costs no step of its own. A blocking
check that fails with ERROR stops what stands downstream in the same run; WARN is for caveats that
a user should see and that cost only single exposures or bands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from hst_assets.failures import MissingProduct, NothingFound
from hst_assets.provenance import Made
from hst_assets.workdir import WorkDir

#: Each check is an event in Dagster's database: at most so many things are named.
_NAMED = 12


@dataclass(frozen=True)
class Finding:
    """What a check found; `kind` is the failure's class where there is one, for machines."""

    passed: bool
    text: str
    severity: Literal["WARN", "ERROR"] = "WARN"
    kind: str = ""


@dataclass(frozen=True)
class Check:
    """One named condition on an asset.

    Parameters
    ----------
    name, description : str
        As the UI shows them.
    judge : callable
        Takes the product and its work directory; returns a `Finding`.
    blocking : bool
        Whether an ERROR stops what is downstream in the run.
    """

    name: str
    description: str
    judge: Callable[[Made, WorkDir], Finding]
    blocking: bool = False


# ----------------------------------------------------------------------- the judges


def _something_found(made: Made, _workdir: WorkDir) -> Finding:
    found = made.facts["n_exposures"]
    if found:
        return Finding(passed=True, text=f"{found} exposures")
    left_out = made.facts["n_excluded"]
    text = f"no exposure in the archive matches the query; {left_out} observations were excluded"
    return Finding(passed=False, text=text, kind=NothingFound.__name__)


def _cross_checked(made: Made, _workdir: WorkDir) -> Finding:
    if not made.facts["cross_checked"]:
        return Finding(
            passed=False, text="not checked: not checked: the second catalogue did not answer"
        )
    differences: list[Any] = made.facts["discrepancies"]
    text = "; ".join(map(str, differences[:_NAMED])) or "both catalogues agree"
    more = f"; and {len(differences) - _NAMED} more" if len(differences) > _NAMED else ""
    return Finding(passed=not differences, text=text + more)


def _all_delivered(made: Made, _workdir: WorkDir) -> Finding:
    missing: list[Any] = made.facts.get("undelivered", [])
    return Finding(
        passed=not missing,
        text="; ".join(map(str, missing)) or "no file of the archive is missing",
        severity="ERROR",
    )


def _raw_untouched(_made: Made, workdir: WorkDir) -> Finding:
    return _untouched(workdir, visits=(None,))


def _own_raw_untouched(made: Made, workdir: WorkDir) -> Finding:
    """A visit is not held up by another one's file that is gone: that one may yet be fetched."""
    from hst_assets.exposures.raw import visits_in

    outputs = {workdir.base / name for name in made.record.outputs}
    own = [visit for visit in visits_in(workdir) if workdir.raw_manifest(visit) in outputs]
    return _untouched(workdir, visits=own or (None,))


def _untouched(workdir: WorkDir, visits: Iterable[str | None]) -> Finding:
    from hst_assets.exposures.raw import check_raw

    try:
        for visit in visits:
            check_raw(workdir, visit)
    except MissingProduct as error:
        return Finding(passed=False, text=str(error), severity="ERROR")
    return Finding(passed=True, text="every verified raw file is unchanged")


def _some_used(made: Made, _workdir: WorkDir) -> Finding:
    used, total = made.facts["n_used"], made.facts["n_exposures"]
    return Finding(passed=used > 0, text=f"{used} of {total} exposures are used")


def _aligned(made: Made, _workdir: WorkDir) -> Finding:
    facts = made.facts
    text = ", ".join(
        f"{facts.get(key, 0)} {word}"
        for key, word in (
            ("n_pass", "passed"),
            ("n_compromised", "compromised"),
            ("n_fail", "failed"),
            ("n_skipped", "skipped (alignment.skip_tweakreg)"),
        )
    )
    if facts["n_exposures"] and not facts["n_used"]:
        return Finding(passed=False, text=f"no exposure may be drizzled: {text}", severity="ERROR")
    bad = facts.get("n_fail", 0) + facts.get("n_compromised", 0)
    return Finding(passed=not bad, text=text)


def _star_shapes(made: Made, _workdir: WorkDir) -> Finding:
    facts = made.facts
    bad = facts.get("n_shapes_bad", 0) + facts.get("n_shapes_doubtful", 0)
    unchecked = facts.get("n_shapes_not_checked", 0)
    text = f"{facts.get('n_shapes_good', 0)} good, {bad} not, {unchecked} not checked"
    unusual: list[str] = facts.get("unusual_stars", [])
    text = "; ".join([text, *unusual[:_NAMED]])
    if unchecked and unchecked == facts["n_exposures"]:
        text = f"not checked: {text}"
    return Finding(passed=not bad, text=text)


def _reference_aligned(made: Made, _workdir: WorkDir) -> Finding:
    left_out = made.facts.get("n_left_out", 0)
    return Finding(
        passed=not left_out,
        text=f"{left_out} of {made.facts.get('n_exposures', 0)} exposures of the reference "
        "could not be aligned to each other"
        if left_out
        else "all exposures of the reference agree",
    )


def _reference_sane(made: Made, _workdir: WorkDir) -> Finding:
    problems: list[Any] = made.facts.get("problems", [])
    return Finding(
        passed=not problems,
        text="; ".join(map(str, problems)) or "no problem was found when it was drizzled",
    )


def _frame_as_asked(made: Made, _workdir: WorkDir) -> Finding:
    tie: dict[str, Any] | None = made.facts.get("tie")
    if tie is None:
        return Finding(passed=True, text="no method aligns to an absolute catalogue")
    if tie["absolute"]:
        return Finding(passed=True, text=f"on the frame of {tie['catalogue']}: {tie['reason']}")
    return Finding(
        passed=False, text=f"the frame is not that of {tie['catalogue']}: {tie['reason']}"
    )


def _all_made(made: Made, _workdir: WorkDir) -> Finding:
    failed: list[Any] = made.facts.get("failed", [])
    return Finding(
        passed=not failed,
        text="; ".join(map(str, failed))
        or str(made.facts.get("note") or f"{made.facts.get('n_products', 0)} products up to date"),
        severity="ERROR",
    )


def _products_sane(made: Made, _workdir: WorkDir) -> Finding:
    problems: list[Any] = made.facts.get("problems", [])
    return Finding(
        passed=not problems,
        text="; ".join(map(str, problems)) or "weights, coverage and star fluxes are as expected",
    )


def _all_subtracted(made: Made, _workdir: WorkDir) -> Finding:
    failed = made.facts.get("failed", [])
    apart = made.facts.get("without_overlap", [])
    text = f"{made.facts.get('n_differences', 0)} differences up to date"
    if apart:
        text += f"; no common pixels: {'; '.join(map(str, apart))}"
    return Finding(passed=not failed, text="; ".join(map(str, failed)) or text, severity="ERROR")


def _differences_sane(made: Made, _workdir: WorkDir) -> Finding:
    problems: list[Any] = made.facts.get("problems", [])
    return Finding(
        passed=not problems,
        text="; ".join(map(str, problems)) or "noise, sky, registration and fluxes agree",
    )


RAW_UNTOUCHED = Check(
    "raw_untouched", "No file of raw/ changed since it was verified.", _raw_untouched
)
OWN_RAW_UNTOUCHED = Check(
    RAW_UNTOUCHED.name, RAW_UNTOUCHED.description, _own_raw_untouched, blocking=True
)
SOMETHING_FOUND = Check(
    "something_found", "The archive has exposures that match the query.", _something_found
)
CROSS_CHECK = Check(
    "cross_check", "The archive's second catalogue lists the same exposures.", _cross_checked
)
ALL_DELIVERED = Check(
    "all_delivered",
    "Every file that the archive lists for the visit was fetched and verified.",
    _all_delivered,
)
SOME_USED_OF_VISIT = Check(
    "some_exposures_used", "At least one exposure of the visit is used.", _some_used
)
SOME_USED_OF_TARGET = Check(
    "some_exposures_used", "At least one exposure of the target is used.", _some_used
)
MEMBERS_AGREE = Check(
    "members_agree",
    "The reference's exposures are aligned to each other.",
    _reference_aligned,
)
REFERENCE_SANE = Check(
    "reference_sane",
    "The image was drizzled without problems in weights, coverage and star fluxes.",
    _reference_sane,
)
ABSOLUTE_FRAME = Check(
    "absolute_frame",
    "If the method catalog is used, the frame is the catalogue's.",
    _frame_as_asked,
)
ALIGNMENT_GATE = Check(
    "alignment_gate",
    "Each exposure is on the reference frame, by cross-validation.",
    _aligned,
    blocking=True,
)
STAR_SHAPES = Check(
    "star_shapes",
    "The stars of each exposure are single, round and as wide as those of the visit's others.",
    _star_shapes,
)
ALL_PRODUCTS_MADE = Check(
    "all_products_made", "Every band that should have a product has one.", _all_made
)
PRODUCTS_SANE = Check(
    "products_sane",
    "Weight maps, fraction of bad pixels and star fluxes are within limits.",
    _products_sane,
)
ALL_DIFFERENCES_MADE = Check(
    "all_differences_made",
    "Every epoch that overlaps the template has its difference.",
    _all_subtracted,
)
DIFFERENCES_SANE = Check(
    "differences_sane",
    "Empty pixels scatter as predicted; skies, positions and fluxes of stars agree.",
    _differences_sane,
)

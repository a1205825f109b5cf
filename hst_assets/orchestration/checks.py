"""Asset checks: what must hold of a product, judged from the facts its step reported.

Each check runs inside the step that made the product, so it costs no step of its own. A blocking
check that does not pass stops what is downstream in the same run. Of the others, an ERROR is a
failure of the run (a product is missing); WARN is for caveats that a user should see and that cost
only single exposures or bands, and for what could not be compared: it says *not checked*, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from hst_assets.failures import (
    MissingProduct,
    NoOverlap,
    NothingFound,
    failure_named,
    shared_kind,
)
from hst_assets.provenance import Made
from hst_assets.settings import load_settings
from hst_assets.workdir import WorkDir

#: Each check is an event in Dagster's database: at most so many things are named.
_NAMED = 12
_FORMER = "the record is of an earlier version, which does not say what was compared"


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes
    ----------
    passed : bool
        Whether the condition holds. What could not be compared does not pass.
    text : str
        In words, with the exposures and numbers concerned.
    severity : {"WARN", "ERROR"}
        Of one that did not pass.
    kind : str
        The failure's class where there is one, for machines.
    checked : bool
        False if there was nothing to compare: that is neither an OK nor a problem.
    """

    passed: bool
    text: str
    severity: Literal["WARN", "ERROR"] = "WARN"
    kind: str = ""
    checked: bool = True


def not_checked(why: str) -> Finding:
    """The finding of a check that could not compare, and why."""
    return Finding(passed=False, text=f"not checked: {why}", checked=False)


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
        Whether it stops what is downstream in the run when it does not pass; it then always
        is an ERROR.
    """

    name: str
    description: str
    judge: Callable[[Made, WorkDir], Finding]
    blocking: bool = False

    def find(self, made: Made, workdir: WorkDir) -> Finding:
        """Judge a product; a check that is called blocking blocks."""
        finding = self.judge(made, workdir)
        return replace(finding, severity="ERROR") if self.blocking else finding


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
        return not_checked("the second catalogue did not answer")
    differences: list[Any] = made.facts["discrepancies"]
    text = listed(differences) or "both catalogues agree"
    return Finding(passed=not differences, text=text)


def listed(texts: Sequence[Any]) -> str:
    """The first of many texts, and how many more there are.

    Parameters
    ----------
    texts : sequence
        The texts.
    """
    more = f"; and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return "; ".join(map(str, texts[:_NAMED])) + more


def _all_delivered(made: Made, workdir: WorkDir) -> Finding:
    if "undelivered" not in made.facts:
        if load_settings(workdir).archive.query:
            return not_checked("the archive was not queried (offline)")
        return Finding(passed=True, text="does not apply: the archive is not queried")
    missing: list[Any] = made.facts["undelivered"]
    return Finding(
        passed=not missing,
        text=listed(missing) or "no file of the archive is missing",
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
    refusals: list[Any] = made.facts.get("refusals", [])
    text = f"{used} of {total} exposures are used"
    if refusals:
        text += f"; left out: {listed(refusals)}"
    return Finding(passed=used > 0, text=text)


def _some_aligned(made: Made, _workdir: WorkDir) -> Finding:
    used, total = made.facts["n_used"], made.facts["n_exposures"]
    if total and not used:
        text = f"no exposure may be drizzled: {_verdicts(made)}"
        return Finding(passed=False, text=text, severity="ERROR")
    return Finding(passed=True, text=f"{used} of {total} exposures may be drizzled")


def _verdicts(made: Made) -> str:
    """How many exposures came to what, and what is said of those that did not pass."""
    counts = ", ".join(
        f"{made.facts.get(key, 0)} {word}"
        for key, word in (
            ("n_pass", "passed"),
            ("n_compromised", "compromised"),
            ("n_fail", "failed"),
            ("n_skipped", "skipped (alignment.skip_tweakreg)"),
        )
    )
    told = listed(made.facts.get("not_passed", []))
    return f"{counts}; {told}" if told else counts


def _aligned(made: Made, _workdir: WorkDir) -> Finding:
    facts = made.facts
    text = _verdicts(made)
    if facts.get("n_fail", 0) + facts.get("n_compromised", 0):
        return Finding(passed=False, text=text)
    if not facts["n_exposures"]:
        return not_checked("no exposure is in use")
    if facts.get("n_skipped", 0):
        return not_checked(f"the exposures keep the archive's WCS: {text}")
    if facts.get("n_anchor") is None:
        return not_checked(_FORMER)
    if facts["n_anchor"]:
        defines = "defines the frame: nothing to compare it with"
        return not_checked(f"{facts['n_anchor']} of {facts['n_exposures']} exposures {defines}")
    return Finding(passed=True, text=text)


def _star_shapes(made: Made, _workdir: WorkDir) -> Finding:
    facts = made.facts
    bad = facts.get("n_shapes_bad", 0) + facts.get("n_shapes_doubtful", 0)
    unchecked = facts.get("n_shapes_not_checked", 0)
    text = f"{facts.get('n_shapes_good', 0)} good, {bad} not, {unchecked} not checked"
    unusual: list[str] = facts.get("unusual_stars", [])
    text = "; ".join([text, *unusual[:_NAMED]])
    if bad:
        return Finding(passed=False, text=text)
    if not facts["n_exposures"]:
        return not_checked("no exposure is in use")
    if "n_shapes_good" not in facts:
        return not_checked(_FORMER)
    return not_checked(text) if unchecked else Finding(passed=True, text=text)


def _reference_aligned(made: Made, _workdir: WorkDir) -> Finding:
    facts = made.facts
    if facts.get("band") == "user":
        return not_checked("the user's image is taken as it is")
    left_out = facts.get("left_out") or {}
    texts = []
    if facts.get("passed_over"):
        texts.append(f"made of {facts['band']} instead of {listed(facts['passed_over'])}")
    if left_out:
        reasons = listed([f"{name}: {reason}" for name, reason in left_out.items()])
        text = f"{len(left_out)} of {facts['n_exposures']} exposures of the reference are not in it"
        texts.append(f"{text}: {reasons}")
    if texts:
        return Finding(passed=False, text="; ".join(texts))
    if facts.get("kept_a_priori"):
        return not_checked(f"exposures with the archive's WCS: {listed(facts['kept_a_priori'])}")
    if facts.get("n_exposures", 0) < 2:
        return not_checked("the reference is made of one exposure")
    return Finding(passed=True, text="all exposures of the reference agree")


def _reference_sane(made: Made, _workdir: WorkDir) -> Finding:
    if made.facts.get("band") == "user":
        return not_checked("the user's image is taken as it is")
    return _sane(made, "drizzled without problems")


def _sane(made: Made, well: str) -> Finding:
    """Problems first; then what could not be compared; only then is all well."""
    problems: list[Any] = made.facts.get("problems", [])
    if problems:
        return Finding(passed=False, text=listed(problems))
    lacking: list[Any] = made.facts.get("not_checked", [_FORMER])
    return not_checked(listed(lacking)) if lacking else Finding(passed=True, text=well)


def _frame_as_asked(made: Made, _workdir: WorkDir) -> Finding:
    tie: dict[str, Any] | None = made.facts.get("tie")
    if tie is None:
        return Finding(
            passed=True, text="does not apply: no method aligns to an absolute catalogue"
        )
    if tie["absolute"]:
        return Finding(passed=True, text=f"on the frame of {tie['catalogue']}: {tie['reason']}")
    return Finding(
        passed=False, text=f"the frame is not that of {tie['catalogue']}: {tie['reason']}"
    )


def _all_made(made: Made, _workdir: WorkDir) -> Finding:
    n = made.facts.get("n_products", 0)
    return none_failed(made, str(made.facts.get("note") or f"{n} products up to date"))


def none_failed(made: Made, well: str) -> Finding:
    """Whether every product of an index was made; else why not, with the class they share.

    Parameters
    ----------
    made : Made
        The index, whose facts have what failed.
    well : str
        What is said where nothing did.
    """
    failed: list[Any] = made.facts.get("failed", [])
    kinds = {failure_named(kind) for kind in made.facts.get("failures", {}).values()}
    kinds -= {NoOverlap}
    return Finding(
        passed=not failed,
        text=listed(failed) or well,
        severity="ERROR",
        kind=shared_kind(kinds).__name__ if failed else "",
    )


def _all_combined(made: Made, workdir: WorkDir) -> Finding:
    """Whether each product has all exposures of its band, of which none was left out by hand."""
    from hst_assets.exposure_account import account_of

    account = account_of(workdir)
    own = {workdir.absolute(name).name for name in made.record.outputs}
    products = [product for product in account.products if product.name in own]
    if not products:
        return Finding(passed=True, text="does not apply: there is no product")
    short = [product for product in products if product.n_exposures < product.n_available]
    text = listed([product.counted for product in short or products])
    if not short:
        return Finding(passed=True, text=text)
    concerned = {name for product in short for name in product.lacking}
    left_out = [
        each
        for each in account.left_out
        if each.rootname in concerned and each.step != "photometry"  # it comes after drizzling
    ]
    unexplained = concerned - {each.rootname for each in left_out}
    told = [f"{each.rootname}: {each.reason}" for each in left_out]
    told += [f"{name}: in use, but not yet in the product" for name in sorted(unexplained)]
    return Finding(
        passed=not unexplained and all(each.is_wanted for each in left_out),
        text=f"{text}; {listed(told)}",
    )


def _products_sane(made: Made, _workdir: WorkDir) -> Finding:
    if not made.facts.get("n_products", 0) and made.facts.get("note"):
        return not_checked(str(made.facts["note"]))
    return _sane(made, "weights, coverage and star fluxes are as expected")


def _all_subtracted(made: Made, _workdir: WorkDir) -> Finding:
    apart = made.facts.get("without_overlap", [])
    text = f"{made.facts.get('n_differences', 0)} differences up to date"
    if apart:
        text += f"; no common pixels: {listed(apart)}"
    return none_failed(made, text)


def _differences_sane(made: Made, _workdir: WorkDir) -> Finding:
    if not made.facts.get("n_differences", 1):
        return Finding(passed=True, text="does not apply: there is no difference")
    return _sane(made, "noise, sky, registration and fluxes agree")


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
    "With the method catalog, the frame is that of the catalogue.",
    _frame_as_asked,
)
SOME_ALIGNED = Check(
    "some_exposures_aligned",
    "At least one exposure of the visit may be drizzled.",
    _some_aligned,
    blocking=True,
)
ALIGNMENT_GATE = Check(
    "alignment_gate",
    "Each exposure is on the reference frame, by cross-validation.",
    _aligned,
)
ALL_COMBINED = Check(
    "all_exposures_combined",
    "Each product has all exposures of its band, except those that the user leaves out.",
    _all_combined,
)
STAR_SHAPES = Check(
    "star_shapes",
    "The stars of each exposure are single, round, and as wide as in the others of its visit.",
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

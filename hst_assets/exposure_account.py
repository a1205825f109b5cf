"""What became of a target's exposures: used, or left out and why; what each product has of them.

It is read from the tables on disk, so that the end of a run, the checks in the web UI and a
notebook say the same. Nothing is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
from astropy.table import QTable

from hst_assets.detectors import DETECTORS
from hst_assets.exposures.raw import exposure_key, visits_in
from hst_assets.products.columns import read_table
from hst_assets.provenance import read_record
from hst_assets.settings import load_settings
from hst_assets.workdir import WorkDir

__all__ = ["Account", "LeftOut", "ProductCount", "ReasonGroup", "account_of", "by_reason"]

#: Settings by which a user says which exposures are wanted; the others judge their quality.
_CHOICES = frozenset({"after", "before", "only_filter", "only_wide"})
#: How the selection names the setting behind a reason: "(keep_short is off)", "(after)".
_SETTING = re.compile(r"\((\w+)(?: is [^()]*)?\)")
_BY_HAND = "by hand: "
_NUMBER = re.compile(r"[-+]?\d[\d.:T-]*")
_OVERRIDE = "decide by hand in overrides.ecsv"


@dataclass(frozen=True)
class LeftOut:
    """An exposure that is not in the products.

    Attributes
    ----------
    rootname : str
        Of the exposure.
    step : {"selection", "alignment", "drizzling", "photometry"}
        Where it was left out.
    reason : str
        As the table of that step has it, with its numbers.
    remedy : str
        What brings it in.
    is_wanted : bool
        Whether the user left it out, by hand or by a choice of filters or dates.
    """

    rootname: str
    step: str
    reason: str
    remedy: str
    is_wanted: bool = False


@dataclass(frozen=True)
class ProductCount:
    """A drizzled image, and how many of the exposures of its band it has.

    Attributes
    ----------
    name : str
        Its file name; of one that failed, its band and epoch.
    n_exposures, n_available : int
        Exposures combined; and those that raw/ has of its band (of its visit, where it is a
        visit's; of an epoch, those that are selected).
    status, reason : str
        As its index has them; of one that did not fail, its problems and what was not checked.
    lacking : frozenset of str
        Rootnames of those that are not in it.
    of_visit : bool
        Whether it is a visit's.
    """

    name: str
    n_exposures: int
    n_available: int
    status: str
    reason: str
    lacking: frozenset[str]
    of_visit: bool

    @property
    def counted(self) -> str:
        """Name and count in words."""
        return f"{self.name}: {self.n_exposures} of {self.n_available} exposures"


@dataclass(frozen=True)
class Account:
    """What became of a target's exposures.

    Attributes
    ----------
    n_exposures, n_used : int
        Exposures in the tables; those that may go into products.
    left_out : tuple of LeftOut
        The others, and those that a product left out.
    products : tuple of ProductCount
        Drizzled images of the target, then of its visits.
    without_effect : tuple of str
        Settings by band or exposure that name none of those that are used, in sentences.
    """

    n_exposures: int
    n_used: int
    left_out: tuple[LeftOut, ...]
    products: tuple[ProductCount, ...]
    without_effect: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReasonGroup:
    """Exposures that were left out for the same reason; of several, `reason` is the first's."""

    step: str
    reason: str
    remedy: str
    rootnames: tuple[str, ...]


@dataclass(frozen=True)
class _Exposure:
    """A row of the exposure tables."""

    rootname: str
    visit: str
    band: str
    epoch: int
    used: bool
    reason: str


def account_of(workdir: WorkDir) -> Account:
    """Gather what the tables of a work directory say.

    Parameters
    ----------
    workdir : WorkDir
        The target's. Tables that were not made count as empty.

    Raises
    ------
    MissingProduct
        If a table cannot be read.
    BadConfiguration
        If the settings are not valid.
    """
    exposures = list(_exposures(workdir))
    left_out = {each.rootname: each for each in _before_drizzling(workdir, exposures)}
    products, dropped = [], []
    indexes = [(workdir.stack_products, "")]
    indexes += [(workdir.visit_products(visit), visit) for visit in visits_in(workdir)]
    for index, visit in indexes:
        for row in _rows(index):
            product, beside = _counted(workdir, row, visit, exposures)
            products.append(product)
            dropped += [each for each in beside if each.rootname not in left_out]
    dropped += [each for each in _unmeasured(workdir) if each.rootname not in left_out]
    return Account(
        n_exposures=len(exposures),
        n_used=len(exposures) - len(left_out),
        left_out=(*left_out.values(), *dict.fromkeys(dropped)),
        products=tuple(products),
        without_effect=_without_effect(
            workdir, [each for each in exposures if each.rootname not in left_out]
        ),
    )


def by_reason(left_out: Iterable[LeftOut]) -> list[ReasonGroup]:
    """Exposures by the reason for which they were left out, whatever its numbers."""
    groups: dict[tuple[str, str, str], list[LeftOut]] = {}
    for each in left_out:
        words = _NUMBER.sub("#", each.reason.replace(each.rootname, ""))
        groups.setdefault((each.step, words, each.remedy), []).append(each)
    return [
        ReasonGroup(step, members[0].reason, remedy, tuple(each.rootname for each in members))
        for (step, _, remedy), members in groups.items()
    ]


# ------------------------------------------------------------------------------- exposures


def _exposures(workdir: WorkDir) -> Iterator[_Exposure]:
    """The rows of the target's table, and of visits that it does not have yet."""
    tables = [_table(workdir.target_exposures)]
    known = {str(visit) for visit in tables[0]["visit"]} if tables[0] else set()
    tables += [
        _table(workdir.visit_exposures(visit)) for visit in visits_in(workdir) if visit not in known
    ]
    for row in (row for table in tables if table for row in table):
        yield _Exposure(
            rootname=str(row["rootname"]),
            visit=str(row["visit"]),
            band=DETECTORS[str(row["detector_key"])].band(str(row["filter"])),
            epoch=int(row["epoch"]),
            used=bool(row["used"]),
            reason=str(row["reason"]),
        )


def _table(path: Path) -> QTable | None:
    """A table that was finished; None where there is none."""
    return read_table(path) if path.is_file() and read_record(path) is not None else None


def _rows(path: Path) -> Sequence[Any]:
    table = _table(path)
    return list(table) if table is not None else []


def _before_drizzling(workdir: WorkDir, exposures: Sequence[_Exposure]) -> Iterator[LeftOut]:
    """What selection and alignment left out."""
    aligned: dict[str, dict[str, Any] | None] = {}
    for exposure in exposures:
        if not exposure.used:
            yield _rejected(exposure)
            continue
        if exposure.visit not in aligned:
            table = _table(workdir.visit_alignment(exposure.visit))
            rows = None if table is None else {str(row["rootname"]): row for row in table}
            aligned[exposure.visit] = rows
        found = (aligned[exposure.visit] or {}).get(exposure.rootname)
        if found is None:
            reason, remedy = "not aligned", f"align visit {exposure.visit}: see its failure, rerun"
            yield LeftOut(exposure.rootname, "alignment", reason, remedy)
        elif not found["used"]:
            yield _unaligned(exposure, found)


def _without_effect(workdir: WorkDir, used: Sequence[_Exposure]) -> tuple[str, ...]:
    """What is set for bands or exposures that are not among those that are used."""
    if not used:
        return ()  # while none is, any may come
    bands, rootnames = [each.band for each in used], [each.rootname for each in used]
    return tuple(load_settings(workdir).drizzle.without_effect(bands, rootnames))


def _rejected(exposure: _Exposure) -> LeftOut:
    settings = _SETTING.findall(exposure.reason)
    by_hand = exposure.reason.startswith(_BY_HAND)
    if by_hand:
        remedy = "change overrides.ecsv"
    elif settings:
        named = ", ".join(f"selection.{name}" for name in dict.fromkeys(settings))
        remedy = f"change {named}, or {_OVERRIDE}"
    else:
        remedy = _OVERRIDE
    wanted = by_hand or (bool(settings) and _CHOICES.issuperset(settings))
    return LeftOut(exposure.rootname, "selection", exposure.reason, remedy, is_wanted=wanted)


def _unaligned(exposure: _Exposure, row: Any) -> LeftOut:
    """With the numbers of the fit that was judged."""
    reason = f"{row['status']}: {row['reason']}"
    if row["n_matches"]:
        x, y = (float(row[name].to_value(u.pix)) for name in ("rms_x", "rms_y"))
        reason += f" ({row['n_matches']} stars, RMS {x:.2f} and {y:.2f} px)"
    remedy = "see the guide on alignment, or set alignment.on_failure = 'keep_a_priori'"
    return LeftOut(exposure.rootname, "alignment", reason, remedy)


# -------------------------------------------------------------------------------- products


def _counted(
    workdir: WorkDir, row: Any, visit: str, exposures: Sequence[_Exposure]
) -> tuple[ProductCount, list[LeftOut]]:
    """A product's count, and what was left out when it was drizzled."""
    band, epoch, file = str(row["band"]), int(row["epoch"]), str(row["file"])
    record = read_record(workdir.absolute(file)) if file else None
    facts = record.facts if record else {}
    combined = {exposure_key(str(name)) for name in facts.get("inputs", ())}
    available = [
        each.rootname
        for each in exposures
        if each.band == band
        and (not visit or each.visit == visit)
        and (not epoch or each.epoch == epoch)
    ]
    lacking = frozenset(name for name in available if exposure_key(name) not in combined)
    title = f"{band} epoch {epoch}" if epoch else f"{visit} {band}".strip()
    product = ProductCount(
        name=Path(file).name or title,
        n_exposures=len(combined),
        n_available=len(available),
        status=str(row["status"]),
        reason=_said(row),
        lacking=lacking,
        of_visit=bool(visit),
    )
    return product, [] if record is None else _dropped(facts)


def _said(row: Any) -> str:
    """Why a product failed, what is wrong with it, or what could not be checked."""
    columns = [name for name in ("reason", "problems", "not_checked") if name in row.colnames]
    texts = [f"{name.replace('_', ' ')}: {row[name]}" for name in columns[1:] if row[name]]
    return str(row["reason"]) or "; ".join(texts)


def _dropped(facts: dict[str, Any]) -> list[LeftOut]:
    """Exposures that a product left out when it was drizzled: files, or files with reasons."""
    outside = "it does not reach into the frame of the products"
    left_out = facts.get("left_out") or {}
    reasons = left_out if isinstance(left_out, dict) else dict.fromkeys(left_out, outside)
    frame = "change target.ra_deg, target.dec_deg, drizzle.frame or drizzle.size_pix"
    return [
        LeftOut(
            name.partition("_")[0],
            "drizzling",
            str(reason),
            frame if reason == outside else f"see its log, or {_OVERRIDE}",
        )
        for name, reason in reasons.items()
    ]


# ------------------------------------------------------------------------------ photometry


def _unmeasured(workdir: WorkDir) -> Iterator[LeftOut]:
    """Exposures of which no chip is in the catalogue of stars, each with its first reason."""
    chips = [row for row in _rows(workdir.dolphot_inputs) if str(row["role"]) == "exposure"]
    used = {str(row["exposure"]) for row in chips if row["used"]}
    told: set[str] = set()
    for row in chips:
        rootname = str(row["exposure"])
        if rootname in used | told:
            continue
        told.add(rootname)
        remedy = (
            "see the log of dolphot_inputs"
            if row["contains_target"]
            else "dolphot_inputs.include_all_splits = true keeps chips that do not hold the target"
        )
        yield LeftOut(rootname, "photometry", str(row["reason"]), remedy)

"""Which exposures make the reference, and which if these cannot.

Candidates are the exposures in use of one detector, filter and epoch; one epoch only, so that a
transient or variable star cannot differ between the exposures that make the frame. The filters of
``reference.preferred_filters`` that are there come first; among them, the candidate with the
longest effective exposure. Without a preferred filter: wide before narrow, then by effective
exposure. ACS/HRC, whose field is small, is left aside where another detector is there, WFPC2 too if
``reference.avoid_wfpc2``. The user may add exposures to those that are chosen (``drizzle.add``).

The effective exposure is the exposure time, halved unless all exposures were held in fine lock.
Exposures that were not may be as good, and the shapes of their stars say whether they are (the next
candidate takes the place of one whose stars are trailed). If there are too few stars to tell, the
lock is the only sign; but it does not outweigh more than a factor of two in exposure time. With
half the time, the depth before the sky falls by 1.25 log10(2) = 0.4 mag, which costs about a
quarter of the stars where their number grows by 10**0.3 per magnitude. Another width of filter, or
a tenth of the exposure, costs far more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from astropy.table import QTable

from hst_assets.detectors import DETECTORS
from hst_assets.failures import BadConfiguration, UnusableInput
from hst_assets.filter_names import is_among, is_wide
from hst_assets.settings import DrizzleSettings, ReferenceSettings, Settings
from hst_assets.workdir import WorkDir

__all__ = ["ReferenceChoice", "added_exposures", "ranked_choices", "without_added"]

#: What exposure time is worth without fine lock, or where the lock is not known.
_WITHOUT_FINE_LOCK = 0.5


@dataclass(frozen=True)
class ReferenceChoice:
    """Which exposures make the reference.

    Attributes
    ----------
    detector_key, filter : str
        Of all its exposures.
    epoch : int
        Number of the epoch they belong to.
    exposures : dict
        ``{file: (rootname, exptime_s)}``, the best guided first, and of these the deepest: the
        first is the anchor.
    """

    detector_key: str
    filter: str
    epoch: int
    exposures: Mapping[str, tuple[str, float]]

    @property
    def band(self) -> str:
        """``<inst>_<det>.<filter>``."""
        return DETECTORS[self.detector_key].band(self.filter)

    @property
    def exptime_s(self) -> float:
        """Summed exposure time."""
        return sum(exptime for _, exptime in self.exposures.values())

    def as_json(self) -> dict[str, Any]:
        """For the record of the choice."""
        return {**asdict(self), "exposures": {k: list(v) for k, v in self.exposures.items()}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ReferenceChoice:
        """The inverse of `as_json`."""
        exposures = {name: (str(v[0]), float(v[1])) for name, v in values["exposures"].items()}
        return cls(values["detector_key"], values["filter"], int(values["epoch"]), exposures)


def ranked_choices(table: QTable, settings: Settings) -> list[ReferenceChoice]:
    """The exposures that may make the reference, the best candidate first.

    Parameters
    ----------
    table : QTable
        The target's exposure table.
    settings : Settings
        Section reference.

    Returns
    -------
    list of ReferenceChoice
        Not empty. Of an epoch in which some exposures were in fine lock and others were not, there
        are two: those in fine lock, and all.

    Raises
    ------
    UnusableInput
        If no exposure is in use.
    BadConfiguration
        If the reference settings leave none of those in use.
    """
    used = table[np.asarray(table["used"], dtype=bool)]
    if len(used) == 0:
        raise UnusableInput(
            "no exposure is in use",
            next_step="See the column 'reason' of the exposure table, or overrides.ecsv",
        )
    preferred = settings.reference.preferred_filters
    candidates = _candidates(_allowed(used, settings.reference))
    return [each.choice for each in sorted(candidates, key=lambda each: each.rank(preferred))]


@dataclass(frozen=True)
class _Candidate:
    """A choice and how its exposures were guided: the worst rank of `_guiding`."""

    choice: ReferenceChoice
    guiding: int

    def rank(self, preferred: Sequence[str]) -> tuple[int, int, float, int, str, int]:
        """Order among all candidates: the smallest is the best."""
        choice = self.choice
        is_preferred = choice.filter in preferred
        effective_s = choice.exptime_s * (1.0 if self.guiding == 0 else _WITHOUT_FINE_LOCK)
        return (
            0 if is_preferred else 1,
            0 if is_preferred else _width_class(choice.filter),
            -effective_s,
            self.guiding,
            choice.band,
            choice.epoch,
        )


def _width_class(name: str) -> int:
    """Order of preference among filters nobody preferred: LP, W, X, M, N, others."""
    for rank, ending in enumerate(("LP", "W", "X", "M", "N")):
        if name.split("-", maxsplit=1)[0].endswith(ending):
            return rank
    return 2 if is_wide(name) else 5


def _allowed(used: QTable, options: ReferenceSettings) -> QTable:
    keys = np.asarray(used["detector_key"], dtype=str)
    filters = np.char.upper(np.asarray(used["filter"], dtype=str))
    keep = np.ones(len(used), dtype=bool)
    if options.filter:
        wanted = [name.strip().upper() for name in options.filter]
        keep &= np.array([is_among(str(name), wanted) for name in filters], dtype=bool)
    if options.instrument:
        keep &= np.char.find(keys, options.instrument.strip().lower()) >= 0
    if not keep.any():
        present = sorted({f"{k}/{f}" for k, f in zip(keys, filters, strict=True)})
        raise BadConfiguration(
            "no exposure in use matches reference.filter and reference.instrument",
            where="reference.filter, reference.instrument",
            next_step=f"In use are: {', '.join(present)}",
        )
    avoided = ["acs_hrc", *(["wfpc2"] if options.avoid_wfpc2 else [])]
    for key in avoided:
        others = keep & (keys != key)
        keep = others if others.any() else keep
    return used[keep]


_WORST_GUIDING = 2


def _guiding(row: Any) -> int:
    """0 in fine lock without a remark, 1 where that is not known, 2 otherwise."""
    # Tables of earlier versions have no such columns.
    lock, remark = (
        str(row[name]).strip() if name in row.colnames else "" for name in ("fgslock", "quality")
    )
    if remark or lock.upper() not in {"FINE", ""}:
        return _WORST_GUIDING
    return 0 if lock else 1


def _candidates(rows: QTable) -> list[_Candidate]:
    members: dict[tuple[str, str, int], list[Any]] = {}
    for row in rows:
        key = (str(row["detector_key"]), str(row["filter"]), int(row["epoch"]))
        members.setdefault(key, []).append(row)
    found = []
    for key, group in members.items():
        fine = [row for row in group if _guiding(row) == 0]
        for some in [fine, group] if 0 < len(fine) < len(group) else [group]:
            ordered = _best_first(some)
            exposures = {str(row["file"]): _facts_of(row) for row in ordered}
            found.append(_Candidate(ReferenceChoice(*key, exposures), _guiding(ordered[-1])))
    return found


def _best_first(rows: list[Any]) -> list[Any]:
    """The best guided first, then the deepest, then the earliest."""

    def rank(row: Any) -> tuple[int, float, float, str]:
        depth_s, start = row["exptime"].to_value("s"), row["mjd_start"].to_value("d")
        return _guiding(row), -depth_s, start, str(row["file"])

    return sorted(rows, key=rank)


def _facts_of(row: Any) -> tuple[str, float]:
    return str(row["rootname"]), float(row["exptime"].to_value("s"))


# ------------------------------------------------------------ what the user adds (drizzle.add)


def without_added(table: QTable, choices: DrizzleSettings) -> QTable:
    """The exposures that the reference is chosen among: those of ``drizzle.add`` only add to it."""
    roots = np.char.lower(np.asarray(table["rootname"], dtype=str))
    return table[~np.isin(roots, [name.lower() for name in choices.add])]


def added_exposures(
    table: QTable, choice: ReferenceChoice, choices: DrizzleSettings, workdir: WorkDir
) -> Mapping[str, tuple[str, float]]:
    """The exposures of ``drizzle.add``, as `ReferenceChoice` has its own.

    Parameters
    ----------
    table : QTable
        The target's exposure table.
    choice : ReferenceChoice
        What they are added to.
    choices : DrizzleSettings
        Has their rootnames.
    workdir : WorkDir
        Has the files.

    Returns
    -------
    dict
        ``{file: (rootname, exptime_s)}``, in the order of the settings. Exposures that the
        selection refused may be added.

    Raises
    ------
    BadConfiguration
        If one is not there, or of another detector or filter.
    """
    rows = {str(row["rootname"]).lower(): row for row in table}
    added = {}
    for name in choices.add:
        row = rows.get(name.lower())
        if row is None or not (workdir.raw / str(row["file"])).is_file():
            raise _refused(name, f"it is not an exposure of {workdir.target} in raw/", "Ingest it")
        _must_match(name, row, choice)
        added[str(row["file"])] = (str(row["rootname"]), float(row["exptime"].to_value("s")))
    return added


def _must_match(name: str, row: Any, choice: ReferenceChoice) -> None:
    for what, own, wanted in (
        ("detector", str(row["detector_key"]), choice.detector_key),
        ("filter", str(row["filter"]), choice.filter),
    ):
        if own != wanted:
            raise _refused(
                name,
                f"its {what} is {own}, that of the reference {wanted}",
                "Set reference.filter or reference.instrument, or take it out",
            )


def _refused(name: str, why: str, next_step: str) -> BadConfiguration:
    return BadConfiguration(
        f"{name} cannot be added to the reference: {why}", where="drizzle.add", next_step=next_step
    )

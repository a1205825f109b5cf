"""Which exposures make the reference.

Exposures that were not held in fine lock, or of which QUALITY remarks something, come last. Among
the others in use, the filters of ``reference.preferred_filters`` that are there; of these
the detector and filter whose deepest epoch is deepest. Without a preferred filter: wide before
narrow, then by depth. One epoch only, so that a transient or variable star cannot differ between
the exposures that make the frame. ACS/HRC, whose field is small, is left aside where another
detector is there, WFPC2 too if ``reference.avoid_wfpc2``. The user may add exposures to those that
are chosen (``drizzle.add``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from astropy.table import QTable

from hst_assets.detectors import DETECTORS, is_among, is_wide
from hst_assets.failures import BadConfiguration, UnusableInput
from hst_assets.settings import DrizzleSettings, ReferenceSettings, Settings
from hst_assets.workdir import WorkDir

__all__ = ["ReferenceChoice", "added_exposures", "choose_reference", "without_added"]


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


def choose_reference(table: QTable, settings: Settings) -> ReferenceChoice:
    """Choose the exposures that make the reference.

    Parameters
    ----------
    table : QTable
        The target's exposure table.
    settings : Settings
        Section reference.

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
    groups = _groups(_best_guided(_allowed(used, settings.reference)))
    names = {group.filter for group in groups}
    preferred = [name for name in settings.reference.preferred_filters if name in names]
    if preferred:
        groups = [group for group in groups if group.filter in preferred]
    return min(groups, key=lambda group: _rank(group, by_width=not preferred))


def _rank(group: ReferenceChoice, *, by_width: bool) -> tuple[int, float, str, int]:
    width = _width_class(group.filter) if by_width else 0
    return width, -group.exptime_s, group.band, group.epoch


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


def _best_guided(rows: QTable) -> QTable:
    """The rows without those of epochs of which another epoch has better guided exposures.

    Within an epoch, all stay: what is not held in fine lock may be good, and is judged by the
    shapes of its stars. But it is not what others are brought onto, if there is a choice.
    """
    keys = [(str(row["detector_key"]), str(row["filter"]), int(row["epoch"])) for row in rows]
    best: dict[tuple[str, str, int], int] = {}
    for key, row in zip(keys, rows, strict=True):
        best[key] = min(best.get(key, _WORST_GUIDING), _guiding(row))
    least = min(best.values())
    return rows[np.array([best[key] == least for key in keys])]


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


def _groups(rows: QTable) -> list[ReferenceChoice]:
    members: dict[tuple[str, str, int], list[Any]] = {}
    for row in rows:
        key = (str(row["detector_key"]), str(row["filter"]), int(row["epoch"]))
        members.setdefault(key, []).append(row)
    return [
        ReferenceChoice(*key, exposures={str(r["file"]): _facts_of(r) for r in _best_first(of)})
        for key, of in members.items()
    ]


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

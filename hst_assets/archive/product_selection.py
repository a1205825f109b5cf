"""Which files of the wanted observations are taken: each exposure's calibrated image, once.

The suffix is the detector's own: flc, flt, or c0m with c1m. A name is believed only if it is
exactly ``<ipppssoot>_<suffix>.fits`` and its URI says the same; nothing else is ever used as a
path. One exposure may come through several observations (its own, and associations): its own wins,
then the association that is first by name.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hst_assets.archive.holdings import Excluded, Product
from hst_assets.archive.observation_rules import Observation, Wanted
from hst_assets.archive.services import Row
from hst_assets.detectors import Detector
from hst_assets.identifiers import visit_of_rootname

__all__ = ["Choice", "choose_products", "parse_name"]

_NAME = re.compile(r"([a-z][a-z0-9]{8})_(flc|flt|c0m|c1m)\.fits")
#: Files that every exposure has, whatever was made of it.
_TRACE = re.compile(r"([a-z][a-z0-9]{7}[a-z])_(?:raw|flt|d0m|c0m)\.fits")
_URI = "mast:HST/product/"
_LONGEST_NAME = 80
_PUBLIC = ("PUBLIC", "")


@dataclass(frozen=True)
class Choice:
    """The files that are taken, the exposures that have none, and what was odd."""

    products: tuple[Product, ...]
    excluded: tuple[Excluded, ...] = ()
    notes: tuple[str, ...] = ()
    #: The observation through which each exposure comes, by rootname.
    owners: Mapping[str, Observation] = field(default_factory=dict)


@dataclass(frozen=True)
class _File:
    """One row of a product list that may be taken."""

    owner: Observation
    rootname: str
    suffix: str
    size: int | None
    data_rights: str

    @property
    def name(self) -> str:
        return f"{self.rootname}_{self.suffix}.fits"

    @property
    def order(self) -> tuple[bool, str, int]:
        """Rank: the first in this order is used."""
        return self.owner.obs_id != self.rootname, self.owner.obs_id, -(self.size or 0)


@dataclass
class _Sorting:
    """What is known while rows are read."""

    files: dict[str, list[_File]] = field(default_factory=lambda: defaultdict(list))
    seen: dict[str, Observation] = field(default_factory=dict)
    excluded: dict[str, str] = field(default_factory=dict)
    n_strangers: int = 0


def parse_name(name: Any) -> tuple[str, str] | None:
    """Rootname and suffix of a product's file name; None unless it is exactly of that form.

    Examples
    --------
    >>> parse_name("j8bt06nyq_flc.fits")
    ('j8bt06nyq', 'flc')
    >>> parse_name("../j8bt06nyq_flc.fits")
    """
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    return (match[1], match[2]) if match else None


def choose_products(
    observations: Sequence[Observation],
    rows: Iterable[Row],
    wanted: Wanted,
    left_out: Mapping[str, str] | None = None,
) -> Choice:
    """Choose from product lists.

    Parameters
    ----------
    observations : sequence of Observation
        Those that are wanted.
    rows : iterable of dict
        Rows of their product lists, in any order, as often as they come.
    wanted : Wanted
        The query.
    left_out : mapping, optional
        Exposures whose own observation was left out, by rootname: they do not come back through
        an association.
    """
    sorting = _Sorting()
    by_obsid = {observation.obsid: observation for observation in observations}
    for row in rows:
        owner = _owner(row, by_obsid)
        if owner is None:
            sorting.n_strangers += 1
        else:
            _sort_in(row, owner, sorting)
    for rootname in left_out or {}:
        sorting.seen.pop(rootname, None)
    exposures = _by_exposure(sorting, left_out or {})
    products = _complete(exposures, wanted, sorting)
    _report_missing(observations, exposures, sorting)
    return Choice(
        products=tuple(sorted(products)),
        excluded=tuple(Excluded(name, why) for name, why in sorted(sorting.excluded.items())),
        notes=_notes(sorting),
        owners={
            rootname: next(iter(files.values())).owner for rootname, files in exposures.items()
        },
    )


def _owner(row: Row, by_obsid: Mapping[str, Observation]) -> Observation | None:
    """The observation whose list this row is of."""
    for key in ("parent_obsid", "obsID"):
        if found := by_obsid.get(str(row.get(key))):
            return found
    return None


def _suffixes(detector: Detector) -> tuple[str, ...]:
    return ("c0m", "c1m") if detector.has_separate_dq else (detector.suffix,)


def _sort_in(row: Row, owner: Observation, sorting: _Sorting) -> None:
    name, uri = row.get("productFilename"), row.get("dataURI")
    if isinstance(name, str) and (trace := _TRACE.fullmatch(name)):
        sorting.seen.setdefault(trace[1], owner)
    suffixes = _suffixes(owner.detector)
    if not any(f"_{suffix}." in str(text).lower() for suffix in suffixes for text in (name, uri)):
        return
    parsed = parse_name(name)
    if parsed is None or uri != f"{_URI}{name}":
        _refuse_name(name, uri, sorting)
        return
    rootname, suffix = parsed
    sorting.seen.setdefault(rootname, owner)
    rights = str(row.get("dataRights") or "").strip().upper()
    sorting.files[f"{rootname}_{suffix}"].append(
        _File(owner, rootname, suffix, _size(row.get("size")), rights)
    )


def _refuse_name(name: Any, uri: Any, sorting: _Sorting) -> None:
    shown = ascii(name)[:_LONGEST_NAME]
    if isinstance(name, str) and name.lower().startswith("hst_"):
        reason = "high-level product: made from exposures that are listed separately"
    elif parse_name(name) is None:
        reason = "file name: not exactly <ipppssoot>_<suffix>.fits"
    else:
        reason = f"file name: its URI is another, {ascii(uri)[:_LONGEST_NAME]}"
    sorting.excluded[shown] = reason


def _size(value: Any) -> int | None:
    """Bytes; None where the list does not say, or says what cannot be."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        size = int(value)
    except (ValueError, OverflowError):
        return None
    return size if 0 < size < 1 << 53 else None


def _by_exposure(sorting: _Sorting, left_out: Mapping[str, str]) -> dict[str, dict[str, _File]]:
    """The file that is believed, by rootname and suffix."""
    exposures: dict[str, dict[str, _File]] = defaultdict(dict)
    for files in sorting.files.values():
        best = min(files, key=lambda file: file.order)
        if best.rootname not in left_out:
            exposures[best.rootname][best.suffix] = best
    return exposures


def _complete(
    exposures: Mapping[str, Mapping[str, _File]], wanted: Wanted, sorting: _Sorting
) -> list[Product]:
    """The products of the exposures that have all their files, and that anyone may have."""
    listed = {(f.owner.obs_id, f.rootname) for files in sorting.files.values() for f in files}
    members = Counter(obs_id for obs_id, _ in listed)
    products = []
    for rootname, files in exposures.items():
        owner = next(iter(files.values())).owner
        if reason := _reason_against(files, members[owner.obs_id], wanted):
            sorting.excluded[rootname] = reason
            continue
        n_members = members[owner.obs_id] if owner.is_association else 1
        products += [_product(file, n_members, wanted) for file in files.values()]
    return products


def _reason_against(files: Mapping[str, _File], n_members: int, wanted: Wanted) -> str:
    owner = next(iter(files.values())).owner
    missing = [suffix for suffix in _suffixes(owner.detector) if suffix not in files]
    if missing:
        return f"incomplete: has a {', '.join(files)} but no {', '.join(missing)}"
    rights = sorted({file.data_rights for file in files.values()} - set(_PUBLIC))
    if rights and wanted.settings.archive.data_rights == "public":
        return f"data rights: its file is {rights[0]} (data_rights is public)"
    longest_s = wanted.settings.archive.max_exptime_s
    if longest_s is None or owner.exptime_s is None or not owner.is_association:
        return ""
    mean_s = owner.exptime_s / n_members
    if mean_s <= longest_s:
        return ""
    return (
        f"exposure time: the exposures of {owner.obs_id} have {mean_s:g} s on average, more than "
        f"{longest_s:g} s (max_exptime_s)"
    )


def _product(file: _File, n_members: int, wanted: Wanted) -> Product:
    owner = file.owner
    moments = (owner.begin_mjd, owner.end_mjd, owner.release_mjd)
    begin = next(moment for moment in moments if moment is not None)
    release = owner.release_mjd
    ra_deg, dec_deg = _position(owner, wanted)
    return Product(
        visit=visit_of_rootname(file.rootname),
        rootname=file.rootname,
        suffix=file.suffix,
        uri=f"{_URI}{file.name}",
        size=file.size,
        data_rights=_rights(file, wanted),
        release_mjd=release if release is not None else owner.end_mjd or begin,
        detector_key=owner.detector.key,
        filter=owner.filters,
        mjd_start=begin,
        exptime_s=(owner.exptime_s or 0.0) / n_members,
        proposal=owner.proposal,
        ra_deg=ra_deg,
        dec_deg=dec_deg,
    )


def _rights(file: _File, wanted: Wanted) -> str:
    """PUBLIC only if nothing says otherwise: the file, its observation, the release date."""
    for said in (file.data_rights, file.owner.data_rights):
        if said not in _PUBLIC:
            return said
    return "PUBLIC" if file.owner.is_public(wanted.now_mjd) else "EXCLUSIVE_ACCESS"


def _position(owner: Observation, wanted: Wanted) -> tuple[float, float]:
    """Of the pointing; where the archive does not say, of the footprint or of the target."""
    if owner.position is not None:
        return owner.position
    if owner.region is not None:
        return owner.region.centre()
    return wanted.position or (0.0, 0.0)


def _report_missing(
    observations: Sequence[Observation],
    exposures: Mapping[str, Mapping[str, _File]],
    sorting: _Sorting,
) -> None:
    """Say which exposures have no file of the kind that is wanted."""
    for rootname, owner in sorting.seen.items():
        if rootname not in exposures:
            sorting.excluded[rootname] = f"product: there is no {owner.detector.suffix} of it"
    listed = {owner.obs_id for owner in sorting.seen.values()}
    for observation in observations:
        if observation.obs_id not in listed and observation.obs_id not in exposures:
            suffix = observation.detector.suffix
            sorting.excluded[observation.obs_id] = f"product: its product list has no {suffix}"


def _notes(sorting: _Sorting) -> tuple[str, ...]:
    notes = []
    for name, files in sorted(sorting.files.items()):
        sizes = sorted({file.size for file in files if file.size is not None})
        if len(sizes) > 1:
            best = min(files, key=lambda file: file.order)
            notes.append(
                f"{name}.fits is listed with {len(sizes)} sizes, from {sizes[0]} to {sizes[-1]} "
                f"bytes; {best.size} is used"
            )
    if sorting.n_strangers:
        notes.append(f"{sorting.n_strangers} products belong to other observations")
    return tuple(notes)

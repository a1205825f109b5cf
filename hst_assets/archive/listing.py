"""The listing on disk: what the archive holds of a target, kept until it is too old.

``workspace/archive_exposures.ecsv`` has a row for each file, and the query in its metadata.
``workspace/archive_left_out.ecsv`` has a row for each observation that was left out. The first is
written last, and names the digest of the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import astropy.units as u
from astropy.time import Time

from hst_assets.archive.holdings import Excluded, Listing, Product
from hst_assets.archive.proposal_field import field_of
from hst_assets.archive.query import ask_archive, nothing_found, question_of
from hst_assets.archive.services import Services
from hst_assets.failures import MissingProduct
from hst_assets.products.columns import ColumnSpec, build_table, write_table
from hst_assets.products.plain_rows import read_rows
from hst_assets.provenance import digest_of
from hst_assets.settings import Settings, load_settings, write_settings
from hst_assets.workdir import WorkDir, fresh_stamp

__all__ = [
    "LEFT_OUT_COLUMNS",
    "LISTING_COLUMNS",
    "current_listing",
    "is_being_asked",
    "read_listing",
    "write_listing",
]

_DAY_S = 86400.0
_SIZE_NOT_SAID = -1
_LOCK = "archive"

LISTING_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("file", "str", "File name"),
    ColumnSpec("rootname", "str", "ROOTNAME (IPPPSSOOT)"),
    ColumnSpec("visit", "str", "Visit id (IPPPSS)"),
    ColumnSpec("suffix", "str", "Kind of product: flc, flt, c0m or c1m"),
    ColumnSpec("uri", "str", "The archive's name of the file"),
    ColumnSpec("size", "int64", "Size of the file; -1: the archive does not say", u.byte),
    ColumnSpec("data_rights", "str", "PUBLIC, EXCLUSIVE_ACCESS or RESTRICTED"),
    ColumnSpec("release_mjd", "float64", "When it became, or becomes, public, MJD UTC", u.day),
    ColumnSpec("detector_key", "str", "Key in the registry of detectors"),
    ColumnSpec("filter", "str", "Filter elements in the archive's words"),
    ColumnSpec(
        "mjd_start", "float64", "Start of the observation (of the association), MJD UTC", u.day
    ),
    ColumnSpec("exptime", "float64", "Exposure time (the mean of those of the association)", u.s),
    ColumnSpec("proposal", "str", "Number of the proposal"),
    ColumnSpec("ra", "float64", "Right ascension of the pointing (ICRS)", u.deg),
    ColumnSpec("dec", "float64", "Declination of the pointing (ICRS)", u.deg),
)

LEFT_OUT_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("observation", "str", "Observation, exposure or file of the archive"),
    ColumnSpec("reason", "str", "The rule that left it out, and how it was broken"),
)

#: Columns whose names differ from those of Product, which have the unit in them.
_RENAMED = {"exptime": "exptime_s", "ra": "ra_deg", "dec": "dec_deg"}


def current_listing(
    workdir: WorkDir,
    settings: Settings,
    *,
    refresh: bool = False,
    services: Services | None = None,
) -> Listing:
    """What the archive holds of a target now, or held a short while ago.

    The listing on disk serves if it answers the same question and is younger than
    `archive.listing_max_age_s`; that there was nothing is remembered as well. A target of a
    proposal that has no position yet gets that of the proposal's field, once and for all.

    Parameters
    ----------
    workdir : WorkDir
        Of the target.
    settings : Settings
        Of the target.
    refresh : bool, optional
        Query even if there is a listing on disk.
    services : Services, optional
        Services to query; MAST by default.

    Raises
    ------
    NothingFound
        If no exposures in the archive match the query.
    TransientFailure, AccessRefused
        If it does not answer, or refuses to; the listing on disk stays as it was.
    BadConfiguration
        If there is nothing to ask for, or proposals without a position have several fields.
    """
    with workdir.lock(_LOCK):
        if settings.target.ra_deg is None:  # may have been found in the meantime
            settings = settings.model_copy(update={"target": load_settings(workdir).target})
        standing = None if refresh else _young(read_listing(workdir), settings)
        listing = standing or _asked(workdir, settings, services)
    if not listing.products:
        raise nothing_found(listing, settings)
    return listing


def is_being_asked(workdir: WorkDir) -> bool:
    """Whether a question about the target is under way, in this process or another."""
    return workdir.is_locked(_LOCK)


def _young(listing: Listing | None, settings: Settings) -> Listing | None:
    if listing is None or listing.question != question_of(settings):
        return None
    age_s = (float(Time.now().utc.mjd) - listing.asked_mjd) * _DAY_S
    # A clock that was put back does not keep a listing for ever.
    return listing if -1.0 <= age_s < settings.archive.listing_max_age_s else None


def _asked(workdir: WorkDir, settings: Settings, services: Services | None) -> Listing:
    listing = ask_archive(settings, services=services)
    if settings.target.ra_deg is None and listing.products:
        ra_deg, dec_deg = field_of(listing.products, settings.archive.radius_arcmin)
        found = write_settings(workdir, {"target": {"ra_deg": ra_deg, "dec_deg": dec_deg}})
        settings = settings.model_copy(update={"target": found.target})
        listing = ask_archive(settings, services=services)
    write_listing(workdir, listing)
    return listing


def write_listing(workdir: WorkDir, listing: Listing) -> None:
    """Write a listing to the workspace, in place of the one before."""
    excluded = [(item.observation, item.reason) for item in listing.excluded]
    left_out = build_table(
        LEFT_OUT_COLUMNS,
        [dict(zip(("observation", "reason"), item, strict=True)) for item in excluded],
        {"question": listing.question},
    )
    meta = {
        "question": listing.question,
        "asked_mjd": listing.asked_mjd,
        "cross_checked": listing.cross_checked,
        "n_left_out": len(excluded),
        "left_out": digest_of(excluded),
        "discrepancies": list(listing.discrepancies),
        "notes": list(listing.notes),
    }
    rows = [_row(product) for product in listing.products]
    write_table(left_out, workdir.archive_left_out)
    write_table(build_table(LISTING_COLUMNS, rows, meta), workdir.archive_listing)


def read_listing(workdir: WorkDir) -> Listing | None:
    """The listing on disk; None if there is none, or it is damaged."""
    paths = (workdir.archive_listing, workdir.archive_left_out)
    try:
        return _read_once(paths, tuple(map(fresh_stamp, paths)))
    except (FileNotFoundError, NotADirectoryError):
        return None


@lru_cache(maxsize=8)
def _read_once(
    paths: tuple[Path, Path], _stamps: tuple[tuple[int, int, int], ...]
) -> Listing | None:
    """The listing; read again when one of its files was replaced: a sensor looks at it often."""
    try:
        meta, files = read_rows(paths[0], LISTING_COLUMNS)
        _, left_out = read_rows(paths[1], LEFT_OUT_COLUMNS)
        listing = _listing(meta, files)
        excluded = tuple(Excluded(row["observation"], row["reason"]) for row in left_out)
        digest = meta["left_out"]
    except (MissingProduct, KeyError, ValueError, TypeError):
        return None
    if digest != digest_of([(item.observation, item.reason) for item in excluded]):
        return None
    return replace(listing, excluded=excluded)


def _row(product: Product) -> dict[str, Any]:
    row = {
        spec.name: getattr(product, _RENAMED.get(spec.name, spec.name))
        for spec in LISTING_COLUMNS
        if spec.name != "file"
    }
    return row | {
        "file": product.name,
        "size": _SIZE_NOT_SAID if product.size is None else product.size,
    }


def _listing(meta: Mapping[str, Any], files: Iterable[Mapping[str, Any]]) -> Listing:
    return Listing(
        question=str(meta["question"]),
        asked_mjd=float(meta["asked_mjd"]),
        products=tuple(map(_product, files)),
        discrepancies=tuple(map(str, meta["discrepancies"])),
        cross_checked=bool(meta["cross_checked"]),
        notes=tuple(map(str, meta["notes"])),
    )


def _product(row: Mapping[str, Any]) -> Product:
    fields = {_RENAMED.get(name, name): value for name, value in row.items() if name != "file"}
    size = fields.pop("size")
    return Product(size=None if size == _SIZE_NOT_SAID else size, **fields)

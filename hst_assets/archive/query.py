"""What the archive holds of a target: one question, put to two catalogues, answered by a listing.

The services get little more than position, proposals, instruments and dates; everything
else is decided here, by rules with reasons (`hst_assets.archive.observation_rules`,
`hst_assets.archive.product_selection`), so that a user can read why an exposure is not taken.
"Nothing found", "not reachable" and "refused" are three different failures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import astropy.units as u
from astropy.time import Time
from pydantic import ValidationError

from hst_assets.archive.crosscheck import discrepancies
from hst_assets.archive.holdings import Excluded, Listing
from hst_assets.archive.observation_rules import (
    Observation,
    Wanted,
    observation_from_caom,
    observation_from_missions,
    reason_to_leave_out,
)
from hst_assets.archive.product_selection import Choice, choose_products
from hst_assets.archive.services import MOST_OBSIDS, Criteria, MastServices, Row, Services
from hst_assets.detectors import Detector
from hst_assets.failures import BadConfiguration, HstAssetsError, NothingFound
from hst_assets.provenance import digest_of
from hst_assets.settings import Settings

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

__all__ = ["ask_archive", "find_exposures", "nothing_found", "query_archive", "question_of"]

#: Raised when the rules change, so that listings by old rules are queried again.
_RULES_VERSION = 1
#: Longest list of remarks that a listing keeps.
_MOST_REMARKS = 50
_SHOWN_RULES = 6
#: An exposure outlives its start by less than this: what begins before a date may matter after it.
_LONGEST_EXPOSURE_DAYS = 2.0


def query_archive(
    settings: Settings, *, services: Services | None = None, now_mjd: float | None = None
) -> Listing:
    """What the archive holds of a target.

    Parameters
    ----------
    settings : Settings
        Sections ``archive``, ``selection`` and ``target`` define the query.
    services : Services, optional
        Services to query; MAST by default.
    now_mjd : float, optional
        The moment of asking (MJD, UTC): what is public is public then.

    Raises
    ------
    NothingFound
        If the archive answered, and nothing matches the query.
    TransientFailure
        If it did not answer, or not wholly.
    AccessRefused
        If it refused to.
    BadConfiguration
        If neither a position nor a proposal is given.
    """
    listing = ask_archive(settings, services=services, now_mjd=now_mjd)
    if not listing.products:
        raise nothing_found(listing, settings)
    return listing


def find_exposures(
    position: SkyCoord | None = None,
    *,
    radius: u.Quantity = 5.0 * u.arcmin,
    proposals: Iterable[str | int] = (),
    instruments: Iterable[str] = (),
    detectors: Iterable[str] = (),
    filters: Iterable[str] = (),
    after: str | None = None,
    before: str | None = None,
    min_exptime: u.Quantity = 15.0 * u.s,
    max_exptime: u.Quantity | None = None,
    services: Services | None = None,
    **archive: Any,
) -> Listing:
    """What the archive holds about a position or of a proposal, without a work directory.

    Parameters
    ----------
    position : `~astropy.coordinates.SkyCoord`, optional
        Of the target, in any frame; not needed where proposals are given.
    radius : `~astropy.units.Quantity`, optional
        An angle; pointings within it are looked at.
    proposals, instruments, detectors, filters : iterable, optional
        Only these, if any are given: numbers, names such as ``ACS``, keys such as ``acs_wfc``,
        names such as ``F606W``.
    after, before : str, optional
        ISO 8601, UTC.
    min_exptime, max_exptime : `~astropy.units.Quantity`, optional
        Limits of the exposure time; by default 15 s, and no upper limit.
    services : Services, optional
        Services to query; MAST by default.
    **archive
        Further settings of the section ``archive``, such as ``data_rights="all"``.

    Raises
    ------
    NothingFound, TransientFailure, AccessRefused, BadConfiguration
        As `query_archive`; BadConfiguration also for a value out of range.
    """
    target = {}
    if position is not None:
        icrs = position.icrs
        target = {"ra_deg": float(icrs.ra.deg) % 360.0, "dec_deg": float(icrs.dec.deg)}
    longest = None if max_exptime is None else float(u.Quantity(max_exptime).to_value(u.s))
    asked = {
        **archive,
        "radius_arcmin": float(u.Quantity(radius).to_value(u.arcmin)),
        "proposals": tuple(proposals),
        "instruments": _names(instruments),
        "detectors": _names(detectors),
        "max_exptime_s": longest,
    }
    selection = {
        "after": after,
        "before": before,
        "only_filter": _names(filters),
        "min_exptime_s": float(u.Quantity(min_exptime).to_value(u.s)),
    }
    try:
        settings = Settings.model_validate(
            {"target": target, "archive": asked, "selection": selection}
        )
    except ValidationError as error:
        raise BadConfiguration(f"invalid archive query: {error}") from error
    return query_archive(settings, services=services)


def question_of(settings: Settings) -> str:
    """Digest of the query; changes when the query changes, and only then."""
    wanted = Wanted(settings, now_mjd=0.0)
    archive, selection = settings.archive, settings.selection
    position = wanted.position
    holds = archive.must_hold_target and position is not None
    margin = selection.footprint_margin_arcsec + archive.footprint_slack_arcsec
    return digest_of(
        {
            "rules": _RULES_VERSION,
            "service": archive.mast_url.rstrip("/"),
            "position": position,
            "radius_arcmin": archive.radius_arcmin if position else None,
            "proposals": sorted(archive.proposals),
            "detectors": [row.key for row in wanted.detectors],
            "after_mjd": wanted.after_mjd,
            "before_mjd": wanted.before_mjd,
            "filters": sorted(selection.only_filter),
            "only_wide": selection.only_wide,
            "min_exptime_s": None if selection.keep_short else selection.min_exptime_s,
            "max_exptime_s": archive.max_exptime_s,
            "calib_levels": sorted(set(archive.calib_levels)),
            "data_rights": archive.data_rights,
            "outside_arcsec": margin if holds else None,
        }
    )


def ask_archive(
    settings: Settings, *, services: Services | None = None, now_mjd: float | None = None
) -> Listing:
    """The answer of `query_archive`, also where it is that there is nothing: no products then.

    Raises
    ------
    TransientFailure, AccessRefused, BadConfiguration
        As `query_archive`.
    """
    now = float(Time.now().utc.mjd) if now_mjd is None else now_mjd
    wanted = Wanted(settings, now)
    criteria = _criteria(wanted)
    services = services or MastServices(settings.archive)
    observations = _distinct(map(observation_from_caom, services.observations(criteria)))
    reasons = [reason_to_leave_out(observation, wanted) for observation in observations]
    kept = [o for o, reason in zip(observations, reasons, strict=True) if not reason]
    left_out = [
        Excluded(o.obs_id, reason)
        for o, reason in zip(observations, reasons, strict=True)
        if reason
    ]
    choice = choose_products(
        kept, _product_rows(services, kept), wanted, _of_their_own(left_out, observations)
    )
    differences, answered, remarks = _second_opinion(
        services, criteria, wanted, observations, choice
    )
    notes = [*_unread_footprints(kept, wanted), *choice.notes, *remarks]
    return Listing(
        question=question_of(settings),
        asked_mjd=now,
        products=choice.products,
        excluded=tuple(
            sorted({*left_out, *choice.excluded}, key=lambda e: (e.observation, e.reason))
        ),
        discrepancies=_bounded(differences),
        cross_checked=answered,
        notes=_bounded(notes),
    )


def nothing_found(listing: Listing, settings: Settings) -> NothingFound:
    """The failure for a listing without products, with what was found and excluded."""
    by_rule: dict[str, list[Excluded]] = defaultdict(list)
    for excluded in listing.excluded:
        by_rule[excluded.reason.partition(":")[0]].append(excluded)
    groups = sorted(by_rule.items(), key=lambda item: -len(item[1]))
    why = "; ".join(
        f"{len(group)} by {rule!r} (such as {group[0].observation}:{_detail(group[0])})"
        for rule, group in groups[:_SHOWN_RULES]
    )
    more = f"; and {len(groups) - _SHOWN_RULES} more rules" if len(groups) > _SHOWN_RULES else ""
    n_seen = len(listing.excluded)
    return NothingFound(
        f"the archive answered: none of its {n_seen} observations matches. Excluded: {why}{more}"
        if n_seen
        else "the archive answered: it has no observation",
        where=_place(settings),
        next_step="Widen the query: settings sections archive and selection",
    )


def _detail(excluded: Excluded) -> str:
    return excluded.reason.partition(":")[2]


def _place(settings: Settings) -> str:
    position = Wanted(settings, 0.0).position
    parts = []
    if position:
        parts.append(
            f"within {settings.archive.radius_arcmin:g} arcmin of {position[0]:.5f}, "
            f"{position[1]:+.5f}"
        )
    if settings.archive.proposals:
        parts.append(f"proposal {', '.join(settings.archive.proposals)}")
    return ", ".join(parts)


# ------------------------------------------------------------------------------ what is asked


def _criteria(wanted: Wanted) -> Criteria:
    """The query to the services: never narrower than what is wanted."""
    archive = wanted.settings.archive
    if wanted.position is None and not archive.proposals:
        raise BadConfiguration(
            "there is no archive query: neither position nor proposal is known",
            next_step="Set target.ra_deg and target.dec_deg, or archive.proposals",
        )
    if not wanted.detectors:
        raise BadConfiguration(
            "none of archive.detectors belongs to archive.instruments",
            next_step="Leave one of them out",
        )
    after, before = wanted.after_mjd, wanted.before_mjd
    return Criteria(
        position=wanted.position,
        radius_arcmin=archive.radius_arcmin,
        proposals=archive.proposals,
        instrument_names=tuple(
            name for detector in wanted.detectors for name in _spellings(detector)
        ),
        begin_mjd=None if after is None else after - _LONGEST_EXPOSURE_DAYS,
        end_mjd=None if before is None else before + _LONGEST_EXPOSURE_DAYS,
    )


def _spellings(detector: Detector) -> tuple[str, ...]:
    """CAOM's names of a detector; WFPC2 goes by the chip that the target was put on."""
    if detector.key == "wfpc2":
        return ("WFPC2", "WFPC2/WFC", "WFPC2/PC", "WFPC2/WF", "WFPC2/WFPC2")
    return (f"{detector.instrument}/{detector.detector}",)


def _names(values: Iterable[str]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(values)


# ----------------------------------------------------------------------------- what is answered


def _distinct(observations: Iterable[Observation]) -> list[Observation]:
    """Each observation once, sorted by name; of several with one name the smallest obsid first."""
    found = {(o.obs_id, o.obsid): o for o in observations}
    return [found[key] for key in sorted(found)]


def _product_rows(services: Services, observations: Sequence[Observation]) -> list[Row]:
    """The product lists, so many observations at a time."""
    obsids = sorted({observation.obsid for observation in observations} - {""}, key=int)
    batches = (obsids[i : i + MOST_OBSIDS] for i in range(0, len(obsids), MOST_OBSIDS))
    return [row for batch in batches for row in services.products(batch)]


def _of_their_own(
    left_out: Sequence[Excluded], observations: Sequence[Observation]
) -> dict[str, str]:
    """Exposures that were left out for what they are: no association may bring them back.

    A calibration level says what stands in the archive for that observation, and nothing of the
    exposure.
    """
    exposures = {o.obs_id for o in observations if not o.is_association}
    return {
        excluded.observation: excluded.reason
        for excluded in left_out
        if excluded.observation in exposures
        and not excluded.reason.startswith(("calibration level:", "date:", "high-level product:"))
    }


def _second_opinion(
    services: Services,
    criteria: Criteria,
    wanted: Wanted,
    observations: Sequence[Observation],
    choice: Choice,
) -> tuple[list[str], bool, list[str]]:
    """Discrepancies; whether the second catalogue answered; what it failed with otherwise."""
    try:
        rows = services.datasets(criteria)
    except HstAssetsError as error:
        return [], False, [f"no cross-check with the Missions search: {error}"]
    datasets = [observation_from_missions(row) for row in rows]
    return discrepancies(observations, choice, datasets, wanted), True, []


def _unread_footprints(observations: Sequence[Observation], wanted: Wanted) -> list[str]:
    if not wanted.settings.archive.must_hold_target or wanted.position is None:
        return []
    return [
        f"{o.obs_id} is included although its footprint cannot be read ({ascii(o.s_region)[:60]})"
        for o in observations
        if o.region is None
    ]


def _bounded(remarks: Sequence[str]) -> tuple[str, ...]:
    if len(remarks) <= _MOST_REMARKS:
        return tuple(remarks)
    n_more = len(remarks) - (_MOST_REMARKS - 1)
    return (*remarks[: _MOST_REMARKS - 1], f"and {n_more} more")

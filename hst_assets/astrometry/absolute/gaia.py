"""Gaia DR3 from TAP services, asked in order until one answers, and kept on disk field by field.

Only stars with a proper motion (5- and 6-parameter solutions) are asked for: without one, a
position is worth nothing years from the epoch. That no star is there is an answer; that no service
answered is a `TransientFailure`. pyvo is used without `astroquery.gaia`, which opens a connection
when it is imported and waits without end.
"""

from __future__ import annotations

import io
import logging
import re
import time
import warnings
import xml.parsers.expat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import QTable, Table, vstack

from hst_assets.astrometry.absolute.stars import star_table
from hst_assets.failures import TransientFailure
from hst_assets.settings import CatalogSettings
from hst_assets.sky_geometry import Cone
from hst_assets.transfer import MOST_REPLY_BYTES
from hst_assets.workdir import write_atomically

if TYPE_CHECKING:
    import requests

__all__ = ["RELEASE", "gaia_stars"]

logger = logging.getLogger(__name__)

RELEASE = "Gaia DR3"
#: Epoch of all positions of the release (Julian year).
_EPOCH = 2016.0
#: Nothing in the release is brighter.
_BRIGHTEST_MAG = 1.0
#: A range of magnitudes that overflows is cut in two down to this width.
_NARROWEST_MAG = 0.02
#: A service that refuses or breaks off is asked so often, with such waits (s) in between.
_TRIES = 3
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 20.0
_TOO_MANY_REQUESTS, _SERVER_FAULT = 429, 500
_CHUNK_BYTES = 1 << 16
#: The table begins within so many bytes: only declarations may stand before it.
_PROLOGUE_BYTES = 4096

#: Our columns by the names of ``gaiadr3.gaia_source`` and of VizieR's copy.
_GAIA_SOURCE = {
    "ra": "ra",
    "dec": "dec",
    "ra_error": "ra_error",
    "dec_error": "dec_error",
    "pmra": "pmra",
    "pmdec": "pmdec",
    "pmra_error": "pmra_error",
    "pmdec_error": "pmdec_error",
    "parallax": "parallax",
    "mag": "phot_g_mean_mag",
}
_VIZIER = {
    "ra": "RA_ICRS",
    "dec": "DE_ICRS",
    "ra_error": "e_RA_ICRS",
    "dec_error": "e_DE_ICRS",
    "pmra": "pmRA",
    "pmdec": "pmDE",
    "pmra_error": "e_pmRA",
    "pmdec_error": "e_pmDE",
    "parallax": "Plx",
    "mag": "Gmag",
}


class _Overflow(Exception):
    """The answer was cut at the service's limit."""


class _Fault(Exception):
    """A service gave no answer that can be used."""


class _PassingFault(_Fault):
    """The same service may answer when it is asked again."""


def gaia_stars(cone: Cone, settings: CatalogSettings, cache: Path) -> tuple[QTable, str]:
    """The stars of Gaia DR3 in a field.

    Parameters
    ----------
    cone : Cone
        The field.
    settings : CatalogSettings
        Services, limit and patience.
    cache : `~pathlib.Path`
        Folder of answers; one that covers the field to the depth asked for is taken.

    Returns
    -------
    stars : QTable
        See `hst_assets.astrometry.absolute.stars.STAR_COLUMNS`; may be empty.
    source : str
        Which service they are from.

    Raises
    ------
    TransientFailure
        If no service answered; it lists the fault of each.
    """
    kept = _kept(cone, settings, cache)
    if kept is not None:
        return kept
    faults = []
    for service in settings.tap_services:
        try:
            stars = _ask(service, cone, settings)
        except _Fault as fault:
            logger.warning("%s: %s", service, fault)
            faults.append(f"{service}: {fault}")
            continue
        stars.meta["service"] = service
        with write_atomically(cache / _Kept(cone, settings.faintest_mag).name) as part:
            stars.write(part, format="ascii.ecsv", overwrite=True)
        return stars, service
    raise TransientFailure(
        f"no service with {RELEASE} answered: {'; '.join(faults)}",
        where=f"RA {cone.ra_deg:.4f}, Dec {cone.dec_deg:+.4f}",
        next_step="Try again later, give other services in catalog.tap_services, or a table of "
        "your own in catalog.source",
    )


# --------------------------------------------------------------------------------- the cache


@dataclass(frozen=True)
class _Kept:
    """What an answer on disk is the answer to; its file's name says it."""

    cone: Cone
    faintest_mag: float

    _PATTERN = re.compile(r"gaia_dr3_([\d.]+)_([-+][\d.]+)_(\d+)arcmin_g([-\d.]+)\.ecsv")

    @property
    def name(self) -> str:
        cone = self.cone
        return (
            f"gaia_dr3_{cone.ra_deg:.4f}_{cone.dec_deg:+.4f}_{cone.radius_arcmin}arcmin"
            f"_g{self.faintest_mag:.2f}.ecsv"
        )

    @classmethod
    def at(cls, path: Path) -> _Kept | None:
        found = cls._PATTERN.fullmatch(path.name)
        if found is None:
            return None
        return cls(Cone(float(found[1]), float(found[2]), int(found[3])), float(found[4]))


def _kept(cone: Cone, settings: CatalogSettings, cache: Path) -> tuple[QTable, str] | None:
    """The stars of a cached answer that covers the field and is deep enough."""
    for path in sorted(cache.glob("gaia_dr3_*.ecsv")):
        kept = _Kept.at(path)
        if kept is None or not kept.cone.covers(cone):
            continue
        if kept.faintest_mag < settings.faintest_mag - 0.005:
            continue
        try:
            stars = QTable.read(path, format="ascii.ecsv")
            sky = np.column_stack([stars["ra"].to_value("deg"), stars["dec"].to_value("deg")])
            wanted = cone.contains(sky)
            wanted &= stars["mag"].to_value("mag") < settings.faintest_mag
        except (OSError, ValueError, KeyError, AttributeError) as error:
            logger.warning("%s cannot be read and is queried again: %s", path, error)
            continue
        return stars[wanted], str(stars.meta.get("service", path.name))
    return None


# ------------------------------------------------------------------------------- the services


def _ask(service: str, cone: Cone, settings: CatalogSettings) -> QTable:
    """Ask one service for the whole field, within its time.

    Services cut long answers (ESA's at 2000 rows): the range of magnitudes is then halved until
    each part is whole.
    """
    deadline = time.monotonic() + settings.timeout_s
    names = _VIZIER if "vizier" in service.lower() else _GAIA_SOURCE
    parts: list[Table] = []
    ranges = [(_BRIGHTEST_MAG, settings.faintest_mag)]
    while ranges:
        low, high = ranges.pop()
        try:
            parts.append(_answer(service, _adql(cone, names, low, high), deadline))
        except _Overflow:
            middle = 0.5 * (low + high)
            if high - low < _NARROWEST_MAG:
                raise _Fault(
                    "its answers are truncated below the number of stars in the field"
                ) from None
            ranges += [(low, middle), (middle, high)]
    return _as_stars(vstack(parts, metadata_conflicts="silent"), names)


def _adql(cone: Cone, names: dict[str, str], low: float, high: float) -> str:
    table = '"I/355/gaiadr3"' if names is _VIZIER else "gaiadr3.gaia_source"
    ra, dec, mag, pm = names["ra"], names["dec"], names["mag"], names["pmra"]
    # Names are constants, numbers floats.
    return (
        f"SELECT {', '.join(names.values())} FROM {table} "  # noqa: S608
        f"WHERE 1 = CONTAINS(POINT('ICRS', {ra}, {dec}), "
        f"CIRCLE('ICRS', {cone.ra_deg}, {cone.dec_deg}, {cone.radius_arcmin / 60:.6f})) "
        f"AND {mag} >= {low:.4f} AND {mag} < {high:.4f} AND {pm} IS NOT NULL"
    )


def _answer(service: str, query: str, deadline: float) -> Table:
    """One answer, asked for again where the fault may pass."""
    import tenacity

    tries = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_PassingFault),
        stop=lambda state: state.attempt_number >= _TRIES or time.monotonic() > deadline,
        wait=tenacity.wait_exponential(_FIRST_WAIT_S, _LONGEST_WAIT_S),
        reraise=True,
    )
    answer: Table = tries(_one_answer, service, query, deadline)
    return answer


def _one_answer(service: str, query: str, deadline: float) -> Table:
    import requests
    import urllib3.exceptions

    try:
        with _session(deadline) as session:
            body = _body(service, query, deadline, session)
    except (requests.Timeout, urllib3.exceptions.TimeoutError):
        raise _Fault("it did not answer in time") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _PassingFault(f"{type(error).__name__}: {error}") from error
    return _table(body)


def _body(service: str, query: str, deadline: float, session: requests.Session) -> bytes:
    """What the service sends, as far as it sends it in time."""
    from pyvo.dal.tap import TAPQuery

    reply = TAPQuery(service.rstrip("/"), query, session=session).submit()
    with reply:
        if reply.status_code >= _SERVER_FAULT or reply.status_code == _TOO_MANY_REQUESTS:
            raise _PassingFault(f"status {reply.status_code} {reply.reason}")
        if not reply.ok:
            raise _Fault(f"status {reply.status_code} {reply.reason}")
        body = bytearray()
        # Whatever has come, and no waiting for more: a service that sends byte after byte is never
        # silent for long.
        while chunk := reply.raw.read1(_CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > MOST_REPLY_BYTES:
                raise _Fault(f"its answer has more than {MOST_REPLY_BYTES // 1_000_000} MB")
            if time.monotonic() > deadline:
                raise _Fault("it did not answer in time")
    return bytes(body)


def _session(deadline: float) -> requests.Session:
    """A session that is never silent for longer than what is left of the time."""
    import requests
    from requests.adapters import HTTPAdapter

    class Impatient(HTTPAdapter):
        def send(self, request: Any, *args: Any, **options: Any) -> Any:
            left = max(deadline - time.monotonic(), 0.1)
            return super().send(request, *args, **{**options, "timeout": left})

    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, Impatient())
    return session


def _table(body: bytes) -> Table:
    """The table of a VOTable answer."""
    from astropy.io.votable import parse
    from pyvo.dal import DALFormatError, DALQueryError
    from pyvo.dal.tap import TAPResults

    if b"<VOTABLE" not in body[:_PROLOGUE_BYTES]:
        raise _Fault("its answer is not a table")  # nothing for a parser
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of services that are lax about the standard
        try:
            results = TAPResults(parse(io.BytesIO(body), verify="ignore"))
        except DALQueryError as error:
            raise _Fault(f"it rejected the query: {error}") from error
        except (DALFormatError, OSError, ValueError, LookupError) as error:
            raise _Fault("its answer is not a table") from error
        except xml.parsers.expat.ExpatError as error:
            raise _Fault("its answer is not a table") from error
        if str(results.status[0]).upper() == "OVERFLOW":
            raise _Overflow
        return results.to_table()


def _as_stars(found: Table, names: dict[str, str]) -> QTable:
    """An answer in the columns of an absolute catalogue."""
    here = {name.lower(): name for name in found.colnames}
    missing = [name for name in names.values() if name.lower() not in here]
    if missing:
        raise _Fault(f"its answer lacks the columns {', '.join(missing)}")

    def column(name: str) -> Any:
        return np.ma.asarray(found[here[names[name].lower()]], dtype=float)

    def worse(first: str, second: str) -> Any:
        return np.ma.maximum(column(first), column(second))

    direct = {name: column(name) for name in ("ra", "dec", "pmra", "pmdec", "parallax", "mag")}
    return star_table(
        {
            **direct,
            "epoch": np.full(len(found), _EPOCH),
            "position_error": worse("ra_error", "dec_error"),
            "motion_error": worse("pmra_error", "pmdec_error"),
        }
    )

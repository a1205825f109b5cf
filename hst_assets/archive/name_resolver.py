"""Names of objects to positions, by CDS' resolver Sesame."""

from __future__ import annotations

import http.client
import re

from hst_assets.failures import BadConfiguration, NothingFound, TransientFailure

__all__ = ["resolve_name"]

_LONGEST_NAME = 120
#: What Sesame writes where none of its catalogues has the name.
_UNKNOWN = "nothing found"
#: The line of the position, to its end: half a number would be another place.
_POSITION = re.compile(r"^%J\s*[\d.]+\s+[-+\d.]+.*\n", re.MULTILINE)


def resolve_name(name: str, *, sesame_url: str, timeout_s: float) -> tuple[float, float]:
    """The position of an object.

    Parameters
    ----------
    name : str
        As SIMBAD, NED or VizieR know it, such as ``NGC 104``.
    sesame_url : str
        Address of Sesame, as far as the slash before its options.
    timeout_s : float
        Seconds that it may be silent.

    Returns
    -------
    tuple of float
        RA and Dec, ICRS, degrees.

    Raises
    ------
    NothingFound
        If Sesame answered, and no catalogue has the name.
    TransientFailure
        If it did not answer, or not in the way of Sesame.
    AccessRefused
        If it rejects the request.
    BadConfiguration
        If this is no name at all.
    """
    from astropy.coordinates import SkyCoord
    from astropy.coordinates.name_resolve import NameResolveError
    from astropy.coordinates.name_resolve import sesame_url as addresses
    from astropy.utils.data import conf

    name = " ".join(name.split())
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise BadConfiguration("not the name of an object", where=repr(name[:_LONGEST_NAME]))
    _refuse(_ask(name, sesame_url, timeout_s), name, sesame_url)
    with addresses.set([sesame_url]), conf.set_temp("remote_timeout", timeout_s):
        try:
            position = SkyCoord.from_name(name, cache=False)
        except (NameResolveError, OSError, ValueError, http.client.HTTPException) as error:
            what = " ".join(str(error).split())[:200]
            raise TransientFailure(f"no answer for {name!r}: {what}", where=sesame_url) from error
    return float(position.ra.deg), float(position.dec.deg)


def _refuse(said: str, name: str, sesame_url: str) -> None:
    """Look at Sesame's own words: astropy says the same of an unknown name and of a broken reply.

    Raises
    ------
    NothingFound
        If no catalogue has the name.
    TransientFailure
        If these are not the words of Sesame, or not all.
    """
    if _UNKNOWN in said.lower():
        raise NothingFound(
            f"no catalogue knows {name!r}",
            where=sesame_url,
            next_step="Give the position as RA and Dec",
        )
    if not _POSITION.search(said):
        raise TransientFailure(f"incomplete answer for {name!r}: {said[:80]!r}", where=sesame_url)


def _ask(name: str, sesame_url: str, timeout_s: float) -> str:
    """Sesame's own words."""
    from urllib.parse import quote

    import requests

    from hst_assets.archive.http_adapter import PatientAdapter

    with requests.Session() as session:
        for scheme in ("https://", "http://"):
            session.mount(scheme, PatientAdapter(timeout_s))
        try:
            return session.get(f"{sesame_url.rstrip('/')}/SNV?{quote(name)}").text
        except (requests.RequestException, ValueError) as error:
            raise TransientFailure(f"no answer: {error}", where=sesame_url) from error

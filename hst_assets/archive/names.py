"""Names of objects to positions, by CDS' resolver Sesame."""

from __future__ import annotations

import http.client

from hst_assets.failures import BadConfiguration, NothingFound, TransientFailure

__all__ = ["resolve_name"]

_LONGEST_NAME = 120
#: What Sesame writes where none of its catalogues has the name.
_UNKNOWN = "nothing found"


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
    with addresses.set([sesame_url]), conf.set_temp("remote_timeout", timeout_s):
        try:
            position = SkyCoord.from_name(name, cache=False)
        except (NameResolveError, OSError, ValueError, http.client.HTTPException) as error:
            raise _failure(name, sesame_url, timeout_s, error) from error
    return float(position.ra.deg), float(position.dec.deg)


def _failure(
    name: str, sesame_url: str, timeout_s: float, error: Exception
) -> NothingFound | TransientFailure:
    """Why there is no position: astropy says the same of an unknown name and of a broken reply.

    Raises
    ------
    TransientFailure, AccessRefused
        If Sesame does not answer this time either, or rejects the request.
    """
    said = _ask(name, sesame_url, timeout_s)
    if _UNKNOWN in said.lower():
        return NothingFound(
            f"no catalogue knows {name!r}",
            where=sesame_url,
            next_step="Give the position as RA and Dec",
        )
    what = " ".join(str(error).split())[:200]
    return TransientFailure(f"no answer of Sesame's on {name!r}: {what}", where=sesame_url)


def _ask(name: str, sesame_url: str, timeout_s: float) -> str:
    """The beginning of Sesame's own words."""
    from urllib.parse import quote

    import requests

    from hst_assets.archive.conversation import PatientAdapter

    with requests.Session() as session:
        for scheme in ("https://", "http://"):
            session.mount(scheme, PatientAdapter(timeout_s))
        try:
            return session.get(f"{sesame_url.rstrip('/')}/SNV?{quote(name)}").text
        except (requests.RequestException, ValueError) as error:
            raise TransientFailure(f"no answer: {error}", where=sesame_url) from error

"""The environment variables of HAP's programs that say what is made, and from which stars.

They are those of drizzlepac 3.11 (``hapsequencer``, ``hapmultisequencer``), with its words for yes
and no.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from hst_assets.failures import BadConfiguration

__all__ = [
    "CATALOGUE_SERVICE",
    "QUALITY",
    "catalogue_service",
    "small_detectors_count",
    "wants_catalogs",
    "wants_cte_only",
    "wants_quality",
]

#: The service of the astrometric catalogue unless another is named
#: (``drizzlepac.haputils.astrometric_utils.DEF_CAT_URL``).
CATALOGUE_SERVICE = "gsss.stsci.edu/webservices"
_SERVICE = "ASTROMETRIC_CATALOG_URL"
QUALITY = "SVM_QUALITY_TESTING"
_SMALL = "MVM_INCLUDE_SMALL"
_CTE_ONLY = "MVM_ONLY_CTE"
_CATALOGS = "SVM_CATALOG_{}"
_WORDS = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}


def catalogue_service(environ: Mapping[str, str]) -> str:
    """What ``ASTROMETRIC_CATALOG_URL`` names, without protocol and port: these change no star.

    Parameters
    ----------
    environ : mapping
        `os.environ`.

    Returns
    -------
    str
        Host and path of the service; `CATALOGUE_SERVICE` where the variable is not set.
    """
    service = environ.get(_SERVICE, "")
    parts = urlsplit(service)
    named = f"{parts.hostname}{parts.path}" if parts.hostname else service
    return named.rstrip("/") or CATALOGUE_SERVICE


def wants_catalogs(detector: str, environ: Mapping[str, str]) -> bool:
    """Whether catalogues of a detector are made; they are, unless ``SVM_CATALOG_...`` says no.

    Parameters
    ----------
    detector : str
        HRC, SBC, WFC, UVIS, IR or PC.
    environ : mapping
        `os.environ`.

    Raises
    ------
    BadConfiguration
        If the variable is neither yes nor no.
    """
    return _is_on(_CATALOGS.format(detector.upper()), environ, default=True)


def wants_quality(environ: Mapping[str, str]) -> bool:
    """Whether ``SVM_QUALITY_TESTING`` asks for tests of quality.

    Parameters
    ----------
    environ : mapping
        `os.environ`.

    Raises
    ------
    BadConfiguration
        If the variable is neither yes nor no.
    """
    return _is_on(QUALITY, environ, default=False)


def small_detectors_count(environ: Mapping[str, str]) -> bool:
    """Whether mosaics have exposures of ACS/HRC and SBC; unless ``MVM_INCLUDE_SMALL`` says no.

    Parameters
    ----------
    environ : mapping
        `os.environ`.

    Raises
    ------
    BadConfiguration
        If the variable is neither yes nor no.
    """
    return _is_on(_SMALL, environ, default=True)


def wants_cte_only(environ: Mapping[str, str]) -> bool:
    """Whether ``MVM_ONLY_CTE`` asks for CCD exposures that are corrected for charge transfer only.

    Parameters
    ----------
    environ : mapping
        `os.environ`.

    Raises
    ------
    BadConfiguration
        If the variable is neither yes nor no.
    """
    return _is_on(_CTE_ONLY, environ, default=False)


def _is_on(name: str, environ: Mapping[str, str], *, default: bool) -> bool:
    value = environ.get(name)
    if value is None:
        return default
    try:
        return _WORDS[value.strip().lower()]
    except KeyError:
        raise BadConfiguration(
            f"{value!r} is neither yes nor no",
            where=name,
            next_step=f"Write one of {', '.join(_WORDS)}, or unset it",
        ) from None

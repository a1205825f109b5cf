"""The two catalogues of MAST, through astroquery; no other module imports it.

`Observations` (CAOM) is the one that is believed; `MastMissions` is the second opinion. Clients are
made for each service object and pointed at the configured address one by one, so that nothing
global changes; nothing is cached on disk and nobody logs in. Rows are handed on as the service
wrote them: what they say is judged elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from hst_assets.failures import BadConfiguration, MissingTool, TransientFailure
from hst_assets.settings import ArchiveSettings
from hst_assets.transfer import in_tries

__all__ = ["MOST_OBSIDS", "Criteria", "MastServices", "Row", "Services"]

Row = dict[str, Any]
Answer = TypeVar("Answer")

#: Observations whose product lists are queried in one request. An observation has 10 to 100
#: products, so that a reply stays within one page.
MOST_OBSIDS = 100
#: Datasets of the Missions search in one reply; its default, and the most it gives.
_PAGE = 5000
_LONGEST_WAIT_S = 60.0
#: A second opinion is not worth a long wait.
_CROSS_CHECK_TRIES = 2
#: Ends of a range that is open on that side (MJD).
_BEGIN_OF_TIME, _END_OF_TIME = 0.0, 1.0e6

_MISSIONS_COLUMNS = (
    "sci_data_set_name",
    "sci_asn_id",
    "sci_instrument_config",
    "sci_spec_1234",
    "sci_actual_duration",
    "sci_start_time",
    "sci_stop_time",
    "sci_release_date",
    "sci_status",
    "sci_ra",
    "sci_dec",
    "sci_pep_id",
    "sci_obs_type",
    "sci_aec",
)
#: Columns that stand in conditions.
_MISSIONS_CONDITIONS = ("sci_pep_id", "sci_instrume")


@dataclass(frozen=True)
class Criteria:
    """A query to a service, which may answer with more, never with less.

    Attributes
    ----------
    position : tuple of float or None
        RA and Dec, degrees.
    radius_arcmin : float
        About the position.
    proposals : tuple of str
        Numbers; empty: any.
    instrument_names : tuple of str
        As CAOM spells them, such as ``ACS/WFC``.
    begin_mjd, end_mjd : float or None
        Observations that end before the first or start after the second are of no use.
    """

    position: tuple[float, float] | None
    radius_arcmin: float
    proposals: tuple[str, ...]
    instrument_names: tuple[str, ...]
    begin_mjd: float | None = None
    end_mjd: float | None = None


class Services(Protocol):
    """What the query needs of an archive."""

    def observations(self, criteria: Criteria) -> list[Row]:
        """CAOM observations."""

    def products(self, obsids: Sequence[str]) -> list[Row]:
        """The products of at most `MOST_OBSIDS` observations."""

    def datasets(self, criteria: Criteria) -> list[Row]:
        """Datasets of the Missions search."""


class MastServices:
    """MAST, or what answers at `archive.mast_url`; one object for each thread.

    Parameters
    ----------
    archive : ArchiveSettings
        Address, timeout and tries.
    """

    def __init__(self, archive: ArchiveSettings) -> None:
        from astroquery.mast import MastMissionsClass, ObservationsClass

        self._archive = archive
        self._observations = _pointed(ObservationsClass(), archive)
        self._missions = _pointed(MastMissionsClass(mission="hst"), archive)
        self._missions.mission = "hst"  # makes its address from that of the service
        _set(self._missions, columns={"hst": _column_names()})

    def observations(self, criteria: Criteria) -> list[Row]:
        """CAOM observations of HST.

        Raises
        ------
        TransientFailure, AccessRefused
            As the service fails.
        """
        asked: dict[str, Any] = {
            "obs_collection": ["HST"],
            "instrument_name": list(criteria.instrument_names),
        }
        if criteria.proposals:
            asked["proposal_id"] = list(criteria.proposals)
        if criteria.begin_mjd is not None:
            asked["t_max"] = [criteria.begin_mjd, _END_OF_TIME]
        if criteria.end_mjd is not None:
            asked["t_min"] = [_BEGIN_OF_TIME, criteria.end_mjd]
        if criteria.position:
            asked |= _cone(criteria.position, criteria.radius_arcmin)

        def ask() -> list[Row]:
            return _rows_of(self._observations.query_criteria_async(**asked))

        return self._tried("observations", ask)

    def products(self, obsids: Sequence[str]) -> list[Row]:
        """The products of some observations, in one request.

        Raises
        ------
        TransientFailure, AccessRefused
            As the service fails.
        ValueError
            If there are more than `MOST_OBSIDS`.
        """
        if len(obsids) > MOST_OBSIDS:
            raise ValueError(f"{len(obsids)} observations in one request")
        asked = list(obsids)

        def ask() -> list[Row]:
            rows = _rows_of(self._observations.get_product_list_async(asked))
            if len(asked) > 1 and not rows:
                raise TransientFailure(
                    f"it lists no products for {len(asked)} observations",
                    where=self._archive.mast_url,
                )
            return rows

        return self._tried("products", ask)

    def datasets(self, criteria: Criteria) -> list[Row]:
        """Datasets of the Missions search, page after page.

        Raises
        ------
        TransientFailure, AccessRefused
            As the service fails.
        """
        found: list[Row] = []
        while True:
            page, total = self._page_of_datasets(criteria, len(found))
            found += page
            if not page or len(found) >= total:
                return found

    def _page_of_datasets(self, criteria: Criteria, offset: int) -> tuple[list[Row], int]:
        instruments = sorted({name.partition("/")[0] for name in criteria.instrument_names})
        asked: dict[str, Any] = {
            "limit": _PAGE,
            "offset": offset,
            "select_cols": list(_MISSIONS_COLUMNS),
            "sci_instrume": instruments,
        }
        if criteria.proposals:
            asked["sci_pep_id"] = list(criteria.proposals)
        if criteria.position:
            asked |= _cone(criteria.position, criteria.radius_arcmin)

        def ask() -> tuple[list[Row], int]:
            reply = self._missions.query_criteria_async(**asked).json()
            return _checked_rows(reply["results"]), int(reply.get("totalResults") or 0)

        return self._tried("datasets", ask, min(_CROSS_CHECK_TRIES, self._archive.max_tries))

    def _tried(self, what: str, ask: Callable[[], Answer], max_tries: int | None = None) -> Answer:
        return in_tries(
            lambda: self._asked(what, ask),
            label=f"querying the archive for {what}",
            max_tries=max_tries or self._archive.max_tries,
            first_wait_s=self._archive.first_wait_s,
            longest_wait_s=_LONGEST_WAIT_S,
        )

    def _asked(self, what: str, ask: Callable[[], Answer]) -> Answer:
        """One try; whatever the client makes of an unreadable reply is a failure that may pass."""
        from astroquery.exceptions import InvalidQueryError, RemoteServiceError
        from astroquery.exceptions import TimeoutError as Overdue
        from requests import RequestException
        from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema

        unreadable = (RequestException, InvalidQueryError, RemoteServiceError, Overdue)
        try:
            return ask()
        except (InvalidSchema, InvalidURL, MissingSchema) as error:
            raise BadConfiguration(
                f"not an address of a service: {error}", where="archive.mast_url"
            ) from error
        except (*unreadable, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            # What it learnt of columns may be part of the trouble.
            self._observations._portal_api_connection._column_configs = {}  # noqa: SLF001
            raise TransientFailure(
                f"the answer for {what} is unreadable ({type(error).__name__}: {str(error)[:200]})",
                where=self._archive.mast_url,
            ) from error


def _pointed(client: Any, archive: ArchiveSettings) -> Any:
    """A client of astroquery that talks to the configured address, with patience."""
    from hst_assets.archive.http_adapter import PATIENCE, PatientAdapter

    url, patience_s = archive.mast_url.rstrip("/"), PATIENCE * archive.timeout_s
    session = _part(client, "_session")
    for scheme in ("https://", "http://"):
        session.mount(scheme, PatientAdapter(archive.timeout_s))
    _set(
        _part(client, "_portal_api_connection"),
        MAST_REQUEST_URL=f"{url}/api/v0/invoke",
        COLUMNS_CONFIG_URL=f"{url}/portal/Mashup/Mashup.asmx/columnsconfig",
        TIMEOUT=patience_s,
        _column_configs={},  # the class's own is shared by all
    )
    _set(_part(client, "_service_api_connection"), SERVICE_URL=url, TIMEOUT=patience_s)
    return client


def _part(owner: Any, name: str) -> Any:
    """What a client is made of; another version of astroquery may have none of it.

    Raises
    ------
    MissingTool
        If it has not: what would be set there would be of no effect, and the wrong address asked.
    """
    if not hasattr(owner, name):
        import astroquery

        raise MissingTool(
            f"astroquery {astroquery.__version__} has no {type(owner).__name__}.{name}",
            next_step="Install a version that this project's requirements allow",
        )
    return getattr(owner, name)


def _set(owner: Any, **values: Any) -> None:
    for name, value in values.items():
        _part(owner, name)
        setattr(owner, name, value)


def _column_names() -> Any:
    """Stands for the list of columns that the client would fetch from elsewhere to check ours."""
    from astropy.table import Table

    return Table({"name": list(dict.fromkeys([*_MISSIONS_COLUMNS, *_MISSIONS_CONDITIONS]))})


def _cone(position: tuple[float, float], radius_arcmin: float) -> dict[str, Any]:
    import astropy.units as u
    from astropy.coordinates import SkyCoord

    return {
        "coordinates": SkyCoord(*position, unit="deg", frame="icrs"),
        "radius": radius_arcmin * u.arcmin,
    }


def _rows_of(responses: Sequence[Any]) -> list[Row]:
    """All rows of all pages of a reply of the portal."""
    return [row for response in responses for row in _portal_rows(response)]


def _portal_rows(response: Any) -> Iterator[Row]:
    reply = response.json()
    if reply["status"] != "COMPLETE":
        said = " ".join(str(reply.get("msg", "")).split())[:200]
        raise TransientFailure(
            f"the query failed at the service: {said or reply['status']}",
            where=str(response.url).partition("?")[0],
        )
    rows = _checked_rows(reply["data"])
    if not rows and _announced(reply):
        raise TypeError("the rows it announces are missing")
    yield from rows


def _announced(reply: Row) -> bool:
    paging = reply.get("paging")
    return isinstance(paging, dict) and bool(paging.get("rows") or paging.get("rowsFiltered"))


def _checked_rows(rows: Any) -> list[Row]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TypeError("not a list of rows")
    return rows

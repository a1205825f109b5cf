"""Settings of the archive (MAST): the query, and how files are fetched."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from hst_assets.settings.fields import (
    DetectorKey,
    NotNegative,
    Positive,
    Section,
    UserPath,
    as_sequence,
)

__all__ = ["ArchiveSettings"]


def _as_proposals(value: Any) -> Any:
    """Proposal numbers, one or several, as text without leading zeros."""
    values = value if isinstance(value, (tuple, list)) else (value,)
    texts = [str(number).strip() for number in values if not isinstance(number, bool)]
    if len(texts) != len(values) or not all(text.isascii() and text.isdigit() for text in texts):
        raise ValueError("proposals are numbers, such as 12891")
    return tuple(sorted({str(int(text)) for text in texts}))


class ArchiveSettings(Section):
    """The query to the archive (MAST) for this target, and how its files are fetched.

    The target's position and ``selection`` (before, after, only_filter, only_wide, shortest
    exposure) are part of the query.
    """

    query: bool = False
    """Search MAST for exposures of this target.

    `raw_exposures`, the sensor on new data and the nightly sweep do it. Otherwise raw/ holds what
    was ingested.
    """
    object: str | None = None
    """Name from which the target's position was resolved; for the record only."""
    proposals: Annotated[tuple[str, ...], BeforeValidator(_as_proposals)] = ()
    """Only exposures of these proposals (numbers); with proposals, no position is needed."""
    radius_arcmin: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Search radius for pointings around the target, arcmin."""
    instruments: Annotated[
        tuple[Literal["WFC3", "ACS", "WFPC2"], ...], BeforeValidator(as_sequence)
    ] = ()
    """Only these instruments: WFC3, ACS, WFPC2; empty: all."""
    detectors: Annotated[tuple[DetectorKey, ...], BeforeValidator(as_sequence)] = ()
    """Only these detectors, such as wfc3_uvis; empty: all of the instruments."""
    max_exptime_s: Positive | None = None
    """Longest exposure time, seconds; longer exposures are not downloaded."""
    calib_levels: Annotated[tuple[Literal[1, 2, 3], ...], BeforeValidator(as_sequence)] = (2, 3)
    """Calibration levels (CAOM) of the observations to use: 2 (calibrated), 3 (with a combined
    product as well).

    1 is raw only: there is nothing to download.
    """
    data_rights: Literal["public", "all"] = "public"
    """Public exposures only (public), or also those under exclusive access (all; needs a token)."""
    must_hold_target: bool = True
    """Only exposures whose footprint contains the target."""
    footprint_slack_arcsec: NotNegative = 10.0
    """Assumed accuracy of the archive's footprints, arcsec.

    Downloaded exposures are checked again with their own WCS (`selection.footprint_margin_arcsec`).
    """
    listing_max_age_s: NotNegative = 900.0
    """Age up to which a listing of the archive's holdings is used without a new query, seconds."""
    recheck_after_days: NotNegative = 7.0
    """Days after which the archive is asked whether a downloaded file is still current.

    A file that was downloaded and proved unusable is then downloaded once more.
    """
    n_workers: Annotated[int, Field(ge=1, le=32)] = 8
    """Number of files of a visit that are downloaded in parallel."""
    timeout_s: Positive = 60.0
    """Maximum time without an answer from the service, seconds."""
    max_tries: Annotated[int, Field(ge=1)] = 5
    """Maximum number of tries for a download, where a retry may help."""
    first_wait_s: Positive = 1.0
    """Wait before the first retry, seconds; about doubled (with jitter) for each further one."""
    mast_url: str = "https://mast.stsci.edu"
    """URL of MAST."""
    sesame_url: str = "https://cds.unistra.fr/cgi-bin/nph-sesame/"
    """URL of the CDS name resolver Sesame."""
    s3: bool = False
    """Download public files from the open-data copy (S3, anonymous) first, and from MAST what it
    lacks."""
    s3_url: str = "https://stpubdata.s3.us-east-1.amazonaws.com"
    """URL of the bucket ``stpubdata``."""
    tree: UserPath | None = None
    """Archive tree (``INST/DET/round(ra)/name``) from which files are taken and in which downloads
    are kept.

    Targets share it; raw/ has hard links to it, or copies. A relative path starts at the work
    directory.
    """

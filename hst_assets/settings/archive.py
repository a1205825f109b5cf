"""Settings of the archive (MAST): what is asked of it, and how files are fetched."""

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
    """What is asked of the archive (MAST) for this target, and how its files are fetched.

    The target's position and ``selection`` (before, after, only_filter, only_wide, shortest
    exposure) are asked for as well.
    """

    #: The exposures of this target are looked for at MAST: by `raw_exposures`, the sensor on new
    #: data and the nightly sweep. Otherwise raw/ holds what was ingested.
    query: bool = False
    #: Name that was resolved to the target's position; for the record.
    object: str | None = None
    #: Only exposures of these proposals (numbers). With proposals, a position is not needed.
    proposals: Annotated[tuple[str, ...], BeforeValidator(_as_proposals)] = ()
    #: Pointings within this radius of the target are looked at.
    radius_arcmin: Annotated[float, Field(gt=0, le=60)] = 5.0
    #: Only these instruments (WFC3, ACS, WFPC2); empty: all.
    instruments: Annotated[
        tuple[Literal["WFC3", "ACS", "WFPC2"], ...], BeforeValidator(as_sequence)
    ] = ()
    #: Only these detectors (keys such as wfc3_uvis); empty: all of the instruments.
    detectors: Annotated[tuple[DetectorKey, ...], BeforeValidator(as_sequence)] = ()
    #: Exposures longer than this are left in the archive.
    max_exptime_s: Positive | None = None
    #: Calibration levels of the observations that are taken (CAOM: 2 calibrated, 3 with a
    #: combined product besides; 1 is raw only, for which there is nothing to fetch).
    calib_levels: Annotated[tuple[Literal[1, 2, 3], ...], BeforeValidator(as_sequence)] = (2, 3)
    #: Public exposures only, or those under exclusive access as well (these need a token).
    data_rights: Literal["public", "all"] = "public"
    #: Only exposures whose footprint holds the target.
    must_hold_target: bool = True
    #: The archive's footprints are believed to this accuracy; what is taken is looked at again by
    #: its own WCS (`selection.footprint_margin_arcsec`).
    footprint_slack_arcsec: NotNegative = 10.0
    #: A listing of the archive's holdings younger than this serves without asking again.
    listing_max_age_s: NotNegative = 900.0
    #: After this many days the archive is asked again whether a file that was fetched is still what
    #: it has, and a file that came and could not be used is fetched once more.
    recheck_after_days: NotNegative = 7.0
    #: Files of a visit that are fetched at a time.
    n_workers: Annotated[int, Field(ge=1, le=32)] = 8
    #: Seconds that the service may be silent.
    timeout_s: Positive = 60.0
    #: How often a transfer is tried where another try may help.
    max_tries: Annotated[int, Field(ge=1)] = 5
    #: Wait before the second try, about doubled before each further one, with chance in it.
    first_wait_s: Positive = 1.0
    #: Address of MAST.
    mast_url: str = "https://mast.stsci.edu"
    #: Address of CDS' name resolver Sesame.
    sesame_url: str = "https://cds.unistra.fr/cgi-bin/nph-sesame/"
    #: Take public files from the open-data copy first (anonymous), and from MAST what it lacks.
    s3: bool = False
    #: Address of the bucket ``stpubdata``.
    s3_url: str = "https://stpubdata.s3.us-east-1.amazonaws.com"
    #: An archive tree that fetched files are kept in (``INST/DET/round(ra)/name``), shared by
    #: targets; raw/ has hard links to it, or copies. A relative path is from the work directory.
    tree: UserPath | None = None

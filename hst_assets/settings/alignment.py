"""Settings of the reference, the alignment, its gate, catalogues and distortion files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from hst_assets.settings.fields import (
    Names,
    PerDetector,
    Positive,
    Section,
    UserPath,
    as_sequence,
)

__all__ = [
    "AlignmentSettings",
    "CatalogSettings",
    "GateSettings",
    "ReferenceFileSettings",
    "ReferenceSettings",
]

Methods = Annotated[
    tuple[Literal["tweakreg", "jhat", "catalog"], ...],
    BeforeValidator(as_sequence),
    Field(min_length=1),
]


class ReferenceSettings(Section):
    """Which image everything is aligned to."""

    #: An image of the user's own (FITS with a celestial WCS); it is never modified.
    image: UserPath | None = None
    #: Only these filters may give the reference (the guide's --reference-filter).
    filter: Names = ()
    #: Only detectors whose key contains this text, such as "wfc3" or "acs_wfc".
    instrument: str | None = None
    #: Do not choose WFPC2 where anything else exists.
    avoid_wfpc2: bool = False
    #: Filters preferred for the reference. Of those present, the deepest wins.
    preferred_filters: Names = (
        "F606W",
        "F555W",
        "F814W",
        "F350LP",
        "F110W",
        "F105W",
        "F336W",
    )


class AlignmentSettings(Section):
    """How exposures are brought onto the reference frame."""

    #: Methods in the order in which they are tried on an exposure (the guide's --align-with);
    #: the first that passes the gate wins.
    align_with: Methods = ("tweakreg",)
    #: Align the drizzled epochs of each visit to the reference first, hand their motion on to the
    #: exposures, then align these; those that fail keep their epoch's WCS (--hierarchical).
    hierarchical: bool = False
    #: Compute the WCS anew from the detector's reference files: where an exposure's header has no
    #: distortion (no SIP polynomials), always (from the spacecraft's pointing), or never.
    update_wcs: Literal["if_needed", "always", "never"] = "if_needed"
    #: Keep the archive's WCS and say so in every product.
    skip_tweakreg: bool = False
    #: Radius within which the offset is searched (the guide's --tweak-search).
    search_radius_arcsec: Annotated[float, Field(gt=0, le=60)] = 1.0
    #: Fewest matches TweakReg may fit (--tweak-min-obj).
    min_objects: Annotated[int, Field(ge=3)] = 10
    #: At most so many of the brightest sources are matched (--tweak-nbright).
    n_brightest: Annotated[int, Field(ge=10)] = 4000
    #: Detection threshold of the first try, in standard deviations of the sky (--tweak-thresh).
    threshold_sigma: Positive = 10.0
    #: Choose the first threshold from the counts of sources above 3 to 80 standard deviations, so
    #: that four times `n_brightest` are found, or as many as there are.
    threshold_curve: bool = False
    #: FWHM of a star in native pixels, by detector, instead of the registry's (conv_width).
    conv_width_pix: PerDetector = Field(default={})
    #: Matching tolerance of the first try in native pixels, by detector, instead of the
    #: registry's.
    tolerance_pix: PerDetector = Field(default={})
    #: Keep the star lists that were matched, beside the aligned exposures (--keep-objfile).
    keep_objfile: bool = False
    #: What the fit may change: shift; shift and rotation (rshift); these and scale (rscale); or
    #: each axis by itself (general).
    fit_geometry: Literal["shift", "rshift", "rscale", "general"] = "rshift"
    #: The relaxation ladder: each further try lowers the threshold and widens the search.
    max_tries: Annotated[int, Field(ge=1)] = 4
    #: Detection threshold of each further try over that of the one before.
    threshold_factor: Annotated[float, Field(gt=0, le=1)] = 0.6
    #: Matching tolerance of each further try over that of the one before.
    tolerance_factor: Annotated[float, Field(ge=1)] = 1.3
    #: Search radius of each further try over that of the one before.
    search_factor: Annotated[float, Field(ge=1)] = 1.5
    #: Clean cosmic rays on a scratch copy before looking for sources (never for WFC3/IR).
    clean_cosmic_rays: bool = True
    #: What happens to an exposure that fails: left out of the products, or used with the
    #: archive's WCS.
    on_failure: Literal["exclude", "keep_a_priori"] = "exclude"

    @field_validator("align_with")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("each method may stand once")
        return value


class GateSettings(Section):
    """When a fit is believed. Lengths in pixels are pixels of the exposure's own detector."""

    #: Fewest stars of a fit that is believed.
    min_matches: Annotated[int, Field(ge=3)] = 10
    #: Largest RMS of the fit's residuals on either axis.
    max_rms_pix: Positive = 0.5
    #: RMS of the worse axis over the better one.
    max_rms_axis_ratio: Annotated[float, Field(gt=1)] = 2.0
    #: Largest motion of the exposure; guide-star catalogue errors are below about 2 arcsec.
    max_shift_arcsec: Positive = 3.0
    #: Largest rotation of the exposure, degrees.
    max_rotation_deg: Positive = 0.1
    #: Largest departure of the scale from 1; only a fit with a free scale is judged by it.
    max_scale_error: Positive = 1e-3
    #: Share of the sources left out at a time, in turn, to judge the fit by them.
    held_out_fraction: Annotated[float, Field(gt=0, lt=0.8)] = 0.25
    #: Largest median offset of held-out stars on either axis; also of the fit from those without
    #: a part of the stars, and of what a remaining rotation would move the stars by.
    max_held_out_offset_pix: Positive = 0.2
    #: Fewest held-out stars that must be found again within the tolerance.
    min_held_out: Annotated[int, Field(ge=1)] = 3
    #: Pairs found over pairs found with scrambled catalogues, searched the same way, and over those
    #: at any other offset of the same lists. Measured on lists of 14 to 3000 sources: unrelated
    #: ones reach 1.3, related ones begin at 5.7.
    min_contrast: Annotated[float, Field(gt=1)] = 2.5
    #: Between PASS and FAIL: a fit that misses one of the soft limits (RMS, axis ratio) by less
    #: than this factor is COMPROMISED: used, and said so.
    compromise_factor: Annotated[float, Field(ge=1)] = 1.5


class CatalogSettings(Section):
    """The absolute catalogue of the alignment method ``catalog``."""

    #: ``gaia``, or a table of the user's own (ECSV, CSV or FITS with columns ra and dec in
    #: degrees, ICRS; and, where known, epoch or ref_epoch in years, pmra (times cos Dec) and pmdec
    #: in mas/yr, mag); relative paths are from the work directory.
    source: UserPath = Path("gaia")
    #: TAP services with Gaia DR3, asked in this order until one answers.
    tap_services: Names = (
        "https://gea.esac.esa.int/tap-server/tap",
        "https://gaia.ari.uni-heidelberg.de/tap",
        "https://tapvizier.cds.unistra.fr/TAPVizieR/tap",
    )
    #: Stars of Gaia fainter than this (G) are left out; not of a table of the user's own.
    faintest_mag: float = 21.0
    #: Stars whose position is less certain than this at the epoch of the exposure are left out: the
    #: errors of position and motion, and the parallax, added in quadrature.
    max_position_error_mas: Positive = 10.0
    #: Seconds that one service may take to answer, all its tries and parts together.
    timeout_s: Positive = 60.0
    #: Where answers are kept, field by field (a relative path is from the work directory); None: a
    #: folder ``.catalogs`` beside the targets.
    cache: UserPath | None = None


class ReferenceFileSettings(Section):
    """Where the detectors' distortion files are found, in this order.

    Relative folders are from the work directory.
    """

    #: Folder of WFC3's reference files; None: $iref.
    iref: UserPath | None = None
    #: Folder of ACS's reference files; None: $jref.
    jref: UserPath | None = None
    #: Folder of WFPC2's reference files; None: $uref.
    uref: UserPath | None = None
    #: Where fetched files are kept; None: a folder ``.reference_files`` beside the targets.
    cache: UserPath | None = None
    #: Fetch what is missing from `crds_url`.
    fetch: bool = True
    #: Address below which CRDS serves reference files by name.
    crds_url: str = "https://hst-crds.stsci.edu/unchecked_get/references/hst"
    #: Seconds that the service may be silent.
    timeout_s: Positive = 60.0
    #: How often a transfer is tried.
    max_tries: Annotated[int, Field(ge=1)] = 4

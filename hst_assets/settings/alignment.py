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

    image: UserPath | None = None
    """Align to this image (FITS with a celestial WCS) instead of one built from the exposures.

    The file is never modified.
    """
    filter: Names = ()
    """Build the reference only from these filters; empty: any."""
    instrument: str | None = None
    """Build the reference only from detectors whose key contains this text, such as `wfc3` or
    `acs_wfc`."""
    avoid_wfpc2: bool = False
    """Do not build the reference from WFPC2 exposures if there are any others."""
    preferred_filters: Names = (
        "F606W",
        "F555W",
        "F814W",
        "F350LP",
        "F110W",
        "F105W",
        "F336W",
    )
    """Filters preferred for the reference; of those present, the deepest is used.

    Exposure time without fine lock counts half.
    """


class AlignmentSettings(Section):
    """How exposures are brought onto the reference frame."""

    align_with: Methods = ("tweakreg",)
    """Alignment methods in the order in which they are tried: tweakreg, jhat, catalog.

    The first whose fit passes the gate is used for the exposure.
    """
    hierarchical: bool = False
    """Align the drizzled epochs of each visit before the single exposures.

    The epoch's correction is applied to its exposures, which are then aligned themselves; those
    that fail keep the WCS of their epoch.
    """
    update_wcs: Literal["if_needed", "always", "never"] = "if_needed"
    """When to recompute the WCS from the detector's reference files.

    `if_needed`: where the header has no distortion (no SIP polynomials); `always`: for every
    exposure, from the telescope's pointing; `never`.
    """
    skip_tweakreg: bool = False
    """Skip the alignment: keep the archive's WCS, and record this in every product."""
    search_radius_arcsec: Annotated[float, Field(gt=0, le=60)] = 1.0
    """Search radius for the offset between exposure and reference, arcsec."""
    min_objects: Annotated[int, Field(ge=3)] = 10
    """Minimum number of matched sources that TweakReg needs for a fit."""
    n_brightest: Annotated[int, Field(ge=10)] = 4000
    """Maximum number of sources that are matched, brightest first."""
    threshold_sigma: Positive = 10.0
    """Detection threshold of the first try, in standard deviations of the sky."""
    threshold_curve: bool = False
    """Choose the first threshold from the number of sources above 3 to 80 standard deviations.

    The aim is four times `n_brightest` sources, or as many as there are.
    """
    conv_width_pix: PerDetector = Field(default={})
    """FWHM of a star by detector, native pixels, instead of the registry's (hst123's conv_width).
    """
    tolerance_pix: PerDetector = Field(default={})
    """Matching tolerance of the first try by detector, native pixels, instead of the registry's."""
    keep_objfile: bool = False
    """Keep the lists of matched stars beside the aligned exposures."""
    fit_geometry: Literal["shift", "rshift", "rscale", "general"] = "rshift"
    """What the fit may change: shift; shift and rotation (rshift); these and scale (rscale); or
    each axis independently (general)."""
    six_terms: Literal["if_needed", "never"] = "if_needed"
    """Whether a fit of fewer terms may be replaced by one of all six linear terms (general).

    `if_needed`: where the fit of six terms predicts held-out stars significantly better, moves
    stars by 0.05 pixel or more, and passes the gate as well as the other.
    """
    max_tries: Annotated[int, Field(ge=1)] = 4
    """Maximum number of tries for an exposure; each further try lowers the threshold and widens the
    search."""
    threshold_factor: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Factor by which each further try multiplies the detection threshold."""
    tolerance_factor: Annotated[float, Field(ge=1)] = 1.3
    """Factor by which each further try multiplies the matching tolerance."""
    search_factor: Annotated[float, Field(ge=1)] = 1.5
    """Factor by which each further try multiplies the search radius."""
    clean_cosmic_rays: bool = True
    """Remove cosmic rays from a scratch copy before sources are detected (never for WFC3/IR)."""
    on_failure: Literal["exclude", "keep_a_priori"] = "exclude"
    """What to do with an exposure whose alignment fails: leave it out of the products (exclude), or
    use it with the archive's WCS (keep_a_priori)."""

    @field_validator("align_with")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("each method may be listed only once")
        return value


class GateSettings(Section):
    """When a fit is accepted. Lengths in pixels are pixels of the exposure's own detector."""

    min_matches: Annotated[int, Field(ge=3)] = 10
    """Minimum number of stars in an accepted fit."""
    max_rms_pix: Positive = 0.5
    """Maximum RMS of the fit's residuals on either axis, pixels."""
    max_rms_axis_ratio: Annotated[float, Field(gt=1)] = 2.0
    """Maximum ratio of the larger to the smaller RMS of the two axes."""
    max_shift_arcsec: Positive = 3.0
    """Maximum shift of the exposure, arcsec; errors of the guide-star catalogue are below about 2
    arcsec."""
    max_rotation_deg: Positive = 0.1
    """Maximum rotation of the exposure, degrees."""
    max_scale_error: Positive = 1e-3
    """Maximum deviation of the scale from 1; only applied to fits with a free scale."""
    held_out_fraction: Annotated[float, Field(gt=0, lt=0.8)] = 0.25
    """Fraction of the sources that is held out at a time for cross-validation."""
    max_held_out_offset_pix: Positive = 0.2
    """Maximum median offset of held-out stars on either axis, pixels.

    The same limit holds for the difference between cross-validation fits, and for the displacement
    of the stars by a residual rotation.
    """
    min_held_out: Annotated[int, Field(ge=1)] = 3
    """Minimum number of held-out stars that must be recovered within the tolerance."""
    min_contrast: Annotated[float, Field(gt=1)] = 2.5
    """Minimum ratio of the pairs found to those found by chance.

    This is measured twice: against scrambled catalogues that are searched in the same way, and
    against the next-best offset of the same lists. In lists of 14 to 3000 sources, unrelated ones
    reach 1.3 and related ones start at 5.7.
    """
    max_elongation: Annotated[float, Field(gt=1)] = 1.2
    """Maximum elongation of an exposure's stars: major over minor axis on the sky.

    An exposure beyond it is trailed or doubled, and FAILs; if its CCD lost charge that is not
    corrected, and its stars trail accordingly, it is COMPROMISED. Single stars of all detectors
    reach 1.12, stars doubled 70:30 at 2.5 pixels start at 1.25.
    """
    max_fwhm_ratio: Annotated[float, Field(gt=1)] = 1.15
    """Maximum FWHM of an exposure's stars over the median of the others of its visit and filter.

    An exposure beyond it is left out. Good exposures of a visit differ by up to 1.05; stars doubled
    70:30 at 2.5 pixels are 1.2 to 1.4 times as wide.
    """
    compromise_factor: Annotated[float, Field(ge=1)] = 1.5
    """Factor by which a fit may exceed the soft limits (RMS, axis ratio) and still be used, as
    COMPROMISED."""


class CatalogSettings(Section):
    """The absolute catalogue of the alignment method ``catalog``."""

    source: UserPath = Path("gaia")
    """Absolute catalogue: ``gaia``, or the path of a table (ECSV, CSV or FITS).

    The table has columns ra and dec in degrees (ICRS) and, where known, epoch or ref_epoch in
    years, pmra (times cos Dec) and pmdec in mas/yr, and mag. A relative path starts at the work
    directory.
    """
    tap_services: Names = (
        "https://gea.esac.esa.int/tap-server/tap",
        "https://gaia.ari.uni-heidelberg.de/tap",
        "https://tapvizier.cds.unistra.fr/TAPVizieR/tap",
    )
    """TAP services with Gaia DR3, tried in this order until one answers."""
    faintest_mag: float = 21.0
    """Faintest Gaia star, G magnitude; not applied to a table of your own."""
    max_position_error_mas: Positive = 10.0
    """Maximum uncertainty of a star's position at the epoch of the exposure, mas: position, proper
    motion and parallax added in quadrature."""
    timeout_s: Positive = 60.0
    """Maximum time for one service to answer, seconds, including its retries and all parts of a
    query."""
    cache: UserPath | None = None
    """Folder in which query results are kept by field; unset: ``.catalogs`` beside the targets.

    A relative path starts at the work directory.
    """


class ReferenceFileSettings(Section):
    """Where the detectors' distortion files are found, in this order.

    Relative folders are from the work directory.
    """

    iref: UserPath | None = None
    """Folder of WFC3's reference files; unset: $iref."""
    jref: UserPath | None = None
    """Folder of ACS's reference files; unset: $jref."""
    uref: UserPath | None = None
    """Folder of WFPC2's reference files; unset: $uref."""
    cache: UserPath | None = None
    """Folder in which downloaded files are kept; unset: ``.reference_files`` beside the targets."""
    fetch: bool = True
    """Download missing files from `crds_url`."""
    crds_url: str = "https://hst-crds.stsci.edu/unchecked_get/references/hst"
    """URL below which CRDS serves reference files by name."""
    timeout_s: Positive = 60.0
    """Maximum time without an answer from the service, seconds."""
    max_tries: Annotated[int, Field(ge=1)] = 4
    """Maximum number of tries for a download."""

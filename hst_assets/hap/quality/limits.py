"""Which kinds of tests of HAP's quality there are, by which limits they are judged, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["KINDS_OF_QUALITY", "QualityLimits"]

#: Of each kind of test, as drizzlepac's file names have it, what it compares.
KINDS_OF_QUALITY: Mapping[str, str] = {
    "num_sources": "sources in the catalogues of all filters",
    "gaia_sources": "stars of Gaia",
    "gaia_distribution": "how Gaia's stars are spread",
    "point_segment_crossmatch": "places in both catalogues",
    "interfilter_crossmatch": "places in two filters",
    "wcs": "the fitted WCS and the earlier one",
    "photometry": "magnitudes in both catalogues",
    "compare_sourcelists": "catalogues of the Hubble Legacy Archive",
}


@dataclass(frozen=True)
class QualityLimits:
    """Limits between what is good and what is doubtful.

    drizzlepac measures, and judges only its comparison with the Hubble Legacy Archive (HLA), by
    limits that its authors call initial values (``compare_sourcelists``, 3.11). The same limits are
    applied here to the tests of like quantities. Of the comparison with the HLA, only two means are
    judged: that of the separations on the sky, and that of the magnitude differences in the larger
    aperture.

    Attributes
    ----------
    min_gaia_stars : int
        Stars in the footprint. SVM's alignment wants as many matches (``MIN_FIT_MATCHES`` of all
        detectors' ``alignment_all.json``).
    max_gaia_offset_share : float
        Distance of the stars' centroid from the image's centre, over the image's side, along each
        axis. Beyond a quarter all weight is on one half, and rotation and scale are extrapolated
        to the other.
    min_gaia_spread_share : float
        Standard deviation of the stars' positions over the image's side, along each axis: half of
        1/sqrt(12), that of stars all over the image.
    min_matches : int
        Sources in common without which nothing is compared (``starmatch_hist``'s
        ``minimum_match``).
    max_separation_arcsec : float
        Mean distance of the same sources in two catalogues (``On-Sky Separation`` of
        ``compare_sourcelists``).
    max_shift_pix : float
        Mean difference of positions in two filters (``X Position``, ``Y Position``).
    max_difference_mag : float
        Median difference of the magnitudes in two catalogues; for the comparison with the HLA, the
        clipped mean difference (``Magnitude (… Aperture)``).
    max_pointing_arcsec : float
        How far the alignment moved an exposure from the WCS that its distortion model and guide
        stars gave. Guide stars of the first catalogue, used until 2005, were off by 1 arcsec rms
        (HST Primer; Lasker et al. 2008, AJ 136, 735): three times that.
    max_roll_deg : float
        How far it turned an exposure: two guide stars 15 arcmin apart, each 1 arcsec off, turn the
        telescope by 0.09 deg: three times that.
    max_scale_change : float
        Relative change of the scale by the alignment: velocity aberration is 1e-4 at most,
        breathing of the focus less; ten times that.
    """

    min_gaia_stars: int = 4
    max_gaia_offset_share: float = 0.25
    min_gaia_spread_share: float = 0.5 / 12**0.5
    min_matches: int = 10
    max_separation_arcsec: float = 0.1
    max_shift_pix: float = 0.1
    max_difference_mag: float = 0.1
    max_pointing_arcsec: float = 3.0
    max_roll_deg: float = 0.3
    max_scale_change: float = 1e-3

"""What each kind of HAP's quality files says, and whether that is good.

A judge gets the file's content (``header``, ``general information``, ``data``) and answers with
numbers and a sentence. What it cannot find there, or is not finite, is not checked.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from numpy.typing import NDArray

from hst_assets.hap.quality.limits import QualityLimits
from hst_assets.hap.quality.visit_files import DrizzledImage

__all__ = ["JUDGES", "Judgement", "Verdict"]

Verdict = Literal["good", "doubtful", "not checked"]
Content = Mapping[str, Any]

#: Of alternate WCSs: the active one has none.
_KEYS = ("", *string.ascii_uppercase)
#: What of the comparison with the HLA is judged, and by which limit. Other columns depend on the
#: pixels of the images (the inner aperture), on units (sky), or on the brightest sources alone
#: (mean fluxes). drizzlepac's own word also wants 95 % of the differences within three standard
#: deviations, which magnitudes of bright and faint sources together never are.
_JUDGED = {
    "On-sky separation": ("max_separation_arcsec", "{:.3f} arcsec apart"),
    "Magnitude (outer aperture)": ("max_difference_mag", "magnitudes differ by {:+.3f}"),
}
_CLIPPED_MEAN = "3x3 sigma-clipped mean"
_CLIPPED_WIDTH = "3x3 sigma-clipped standard deviation"


@dataclass(frozen=True)
class Judgement:
    """What was found of one product.

    Attributes
    ----------
    verdict : str
        ``good``, ``doubtful`` or ``not checked``.
    sentence : str
        Why, in words.
    numbers : mapping
        What was measured, by name and unit; only what is known.
    """

    verdict: Verdict
    sentence: str
    numbers: Mapping[str, float | int | str] = field(default_factory=dict)


def _judged(
    faults: list[str], told: str, numbers: Mapping[str, float | int | str | None]
) -> Judgement:
    known = {name: value for name, value in numbers.items() if value is not None}
    if faults:
        return Judgement("doubtful", "; ".join(faults), known)
    return Judgement("good", told, known)


def _not_checked(why: str, numbers: Mapping[str, float | int | str | None]) -> Judgement:
    known = {name: value for name, value in numbers.items() if value is not None}
    return Judgement("not checked", why, known)


def _part(content: Content, title: str) -> Mapping[str, Any]:
    """A part of the data; empty if it is not there."""
    part = content.get("data", {}).get(title, {})
    values = part.get("data", {}) if isinstance(part, Mapping) else {}
    return values if isinstance(values, Mapping) else {}


def _number(values: Mapping[str, Any], name: str) -> float | None:
    """A finite number; None if there is none."""
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


# ------------------------------------------------------------------------- sources and stars


def num_sources(content: Content, product: DrizzledImage, limits: QualityLimits) -> Judgement:
    """How many sources the catalogues of the total image have.

    drizzlepac writes 0 also for a catalogue that was not made, and -1 where it does not know.
    """
    del limits
    values = _part(content, "number_of_sources")
    counts: dict[str, int] = {}
    for kind in ("point", "segment"):
        number = _number(values, kind)
        if number is not None and number >= 0 and product.beside(f"_{kind}-cat.ecsv").is_file():
            counts[kind] = int(number)
    numbers = {f"n_{kind}": count for kind, count in counts.items()}
    if not counts:
        return _not_checked("no catalogue of the total image tells its number of sources", numbers)
    told = ", ".join(f"{count} {kind} sources" for kind, count in counts.items())
    empty = [f"no source in the {kind} catalogue" for kind, count in counts.items() if not count]
    return _judged(empty, told, numbers)


def gaia_sources(content: Content, product: DrizzledImage, limits: QualityLimits) -> Judgement:
    """How many stars of Gaia are in the footprint."""
    del product
    number = _number(_part(content, "Number of GAIA sources"), "Number of GAIA sources")
    if number is None:
        return _not_checked("the number of Gaia's stars is not told", {})
    numbers = {"n_gaia": int(number)}
    if number < limits.min_gaia_stars:
        few = f"{number:.0f} stars of Gaia, fewer than {limits.min_gaia_stars}"
        return _judged([few], "", numbers)
    return _judged([], f"{number:.0f} stars of Gaia", numbers)


def gaia_distribution(content: Content, product: DrizzledImage, limits: QualityLimits) -> Judgement:
    """Whether Gaia's stars are spread over the image, or on one side of it."""
    values = _part(content, "distribution characterization statistics")
    number = _number(values, "Number of GAIA sources")
    places = [_number(values, f"{axis} centroid") for axis in "XY"]
    spreads = [_number(values, f"{axis} standard deviation") for axis in "XY"]
    neighbour = _number(values, "mean neighbor distance")
    numbers: dict[str, float | int | str | None] = {
        "n_gaia": None if number is None else int(number),
        "neighbour_pix": neighbour,
    }
    sides = _sides(product)
    if number is None or number < limits.min_gaia_stars:
        return _not_checked("too few stars of Gaia to tell how they are spread", numbers)
    if sides is None or None in places or None in spreads:
        return _not_checked("the image or the stars' places are not told", numbers)
    faults = []
    for axis, side, place, spread in zip("xy", sides, places, spreads, strict=True):
        if place is None or spread is None:
            continue
        # Pixels count from 1 in drizzlepac's file.
        offset = (place - (side + 1) / 2) / side
        numbers |= {f"offset_{axis}": offset, f"spread_{axis}": spread / side}
        if abs(offset) > limits.max_gaia_offset_share:
            faults.append(f"Gaia's stars are {offset:+.0%} of the side off the centre in {axis}")
        if spread / side < limits.min_gaia_spread_share:
            faults.append(f"Gaia's stars are spread over {spread / side:.0%} of the side in {axis}")
    return _judged(faults, f"{number:.0f} stars of Gaia are spread over the image", numbers)


def _sides(product: DrizzledImage) -> tuple[int, int] | None:
    try:
        header = fits.getheader(product.path, "SCI")
        return int(header["NAXIS1"]), int(header["NAXIS2"])
    except (OSError, KeyError, ValueError):
        return None


# ------------------------------------------------------------------ catalogues with each other


def point_segment_crossmatch(
    content: Content, product: DrizzledImage, limits: QualityLimits
) -> Judgement:
    """Whether the two catalogues of a filter have the same sources in the same places."""
    del product
    separations = _part(content, "Segment - point on-sky separation statistics")
    brightness = _part(content, "Delta_Photometry")
    compared = _part(content, "Cross-matched point catalog").get("Right ascension", {})
    n_compared = len(compared.get("data", ())) if isinstance(compared, Mapping) else 0
    mean = _number(separations, _CLIPPED_MEAN)
    numbers: dict[str, float | int | str | None] = {
        "n_compared": n_compared,
        "separation_arcsec": mean,
        "scatter_arcsec": _number(separations, _CLIPPED_WIDTH),
        "dmag_ap1": _number(brightness, "median_dmagap1"),
        "dmag_ap2": _number(brightness, "median_dmagap2"),
    }
    if mean is None or n_compared < limits.min_matches:
        few = f"{n_compared} sources in common, fewer than {limits.min_matches}"
        return _not_checked(few, numbers)
    told = f"{n_compared} sources in common, {mean:.3f} arcsec apart"
    if mean > limits.max_separation_arcsec:
        return _judged([f"{told}, more than {limits.max_separation_arcsec:g}"], "", numbers)
    return _judged([], told, numbers)


def photometry(content: Content, product: DrizzledImage, limits: QualityLimits) -> Judgement:
    """Whether the two catalogues of a filter have the same magnitudes."""
    del product
    numbers: dict[str, float | int | str | None] = {}
    for aperture in ("Ap1", "Ap2"):
        values = _part(content, f"Statistics_Mag{aperture}").get(f"Delta_Mag{aperture}", {})
        for statistic, name in (("Median", "dmag"), ("StdDev", "scatter_mag")):
            number = _number(values, statistic) if isinstance(values, Mapping) else None
            numbers[f"{name}_{aperture.lower()}"] = number
    medians = {name: numbers[f"dmag_{name}"] for name in ("ap1", "ap2")}
    if any(value is None for value in medians.values()):
        return _not_checked("no source in common has magnitudes in both catalogues", numbers)
    words = {name: f"{name}: {value:+.3f} mag" for name, value in medians.items()}
    faults = [
        f"{words[name]} between the catalogues, more than {limits.max_difference_mag:g}"
        for name, value in medians.items()
        if isinstance(value, float) and abs(value) > limits.max_difference_mag
    ]
    return _judged(faults, f"point - segment, {', '.join(words.values())}", numbers)


def interfilter_crossmatch(
    content: Content, product: DrizzledImage, limits: QualityLimits
) -> Judgement:
    """Whether sources are in the same places in another filter."""
    del product
    details = _part(content, "Interfilter cross-match details")
    matches = _number(details, "number of cross-matches")
    numbers: dict[str, float | int | str | None] = {
        "n_compared": None if matches is None else int(matches),
        "scale_arcsec": _number(details, "reference image platescale"),
    }
    means: dict[str, float | None] = {}
    for axis in "xy":
        title = (
            f"Interfilter cross-matched {axis}centroid_ref comparison - reference separation "
            "statistics"
        )
        values = _part(content, title)
        means[axis] = _number(values, _CLIPPED_MEAN)
        numbers |= {
            f"shift_{axis}_pix": means[axis],
            f"scatter_{axis}_pix": _number(values, _CLIPPED_WIDTH),
        }
    if matches is None or matches < limits.min_matches or None in means.values():
        few = f"fewer than {limits.min_matches} sources in common with the other filter"
        return _not_checked(few, numbers)
    words = {axis: f"{axis}: {mean:+.3f} pixels" for axis, mean in means.items()}
    faults = [
        f"{words[axis]} from the other filter, more than {limits.max_shift_pix:g}"
        for axis, mean in means.items()
        if mean is not None and abs(mean) > limits.max_shift_pix
    ]
    return _judged(faults, f"{matches:.0f} sources in common, {', '.join(words.values())}", numbers)


# ------------------------------------------------------------------------------- alignment


def wcs(content: Content, product: DrizzledImage, limits: QualityLimits) -> Judgement:
    """Whether the exposure was fitted to Gaia, and how far that moved it."""
    active = _part(content, "PrimaryWCS")
    name = str(active.get("primary_wcsname", "")).strip()
    numbers: dict[str, float | int | str | None] = {"wcsname": name or None}
    if not name:
        return _not_checked("the active WCS has no name", numbers)
    if "-FIT_" not in name:
        return _judged([f"not aligned to Gaia; its WCS is {name}"], "", numbers)
    earlier = _part(content, "AlternateWCS_default") or _part(content, "AlternateWCS_apriori")
    moved = _moved(active, earlier)
    if moved is None:
        return _not_checked(f"{name}: there is no earlier WCS to compare it with", numbers)
    turned = _turned(product, name, str(earlier.get("alt_wcsname", "")).strip())
    numbers |= {"shift_arcsec": moved, **turned}
    bounds = {
        "shift_arcsec": (limits.max_pointing_arcsec, "moved by {:.3g} arcsec"),
        "roll_deg": (limits.max_roll_deg, "turned by {:.3g} deg"),
        "scale_change": (limits.max_scale_change, "its scale changed by {:.2g}"),
    }
    faults = []
    for key, value in {"shift_arcsec": moved, **turned}.items():
        limit, words = bounds[key]
        if abs(value) > limit:
            faults.append(f"{words.format(value)} from {earlier['alt_wcsname']}, over {limit:g}")
    told = f"{name}, {moved:.3f} arcsec from {earlier['alt_wcsname']}"
    if not turned:
        told += "; roll and scale not checked: the exposure's file does not tell"
    return _judged(faults, told, numbers)


def _moved(active: Mapping[str, Any], earlier: Mapping[str, Any]) -> float | None:
    """Distance, arcsec, of the centres of two frames about one exposure.

    Each frame is laid about the footprint by its own WCS, so that centres agree to a pixel.
    """
    now, then = ([_number(each, key) for key in ("crval1", "crval2")] for each in (active, earlier))
    if None in now or None in then or not earlier.get("alt_wcsname"):
        return None
    ra, dec = np.transpose(np.array([now, then], dtype=float))
    places = SkyCoord(ra * u.deg, dec * u.deg)
    return float(places[0].separation(places[1]).arcsec)


def _turned(product: DrizzledImage, active: str, earlier: str) -> dict[str, float]:
    """Roll and change of scale from an earlier WCS; empty if the exposure's file does not tell.

    drizzlepac's own file has both from frames that have lost what a fit turned.
    """
    for ending in ("_flc.fits", "_flt.fits"):
        path = product.beside(ending)
        if not path.is_file():
            continue
        try:
            header = fits.getheader(path, ("SCI", 1))
            keys = {str(header.get(f"WCSNAME{key}", "")).strip(): key for key in _KEYS}
            now, then = (_matrix(header, keys[name]) for name in (active, earlier))
        except (OSError, KeyError, TypeError, ValueError):
            return {}
        turn = now @ np.linalg.inv(then)
        scale = math.sqrt(abs(np.linalg.det(turn)))
        # North through east, as position angles run.
        roll = math.degrees(math.atan2(turn[0, 1] - turn[1, 0], turn[0, 0] + turn[1, 1]))
        return {"roll_deg": roll, "scale_change": scale - 1.0}
    return {}


def _matrix(header: fits.Header, key: str) -> NDArray[np.float64]:
    return np.array(
        [[float(header[f"CD{row}_{column}{key}"]) for column in (1, 2)] for row in (1, 2)]
    )


# ------------------------------------------------------------------ the Hubble Legacy Archive


def compare_sourcelists(
    content: Content, product: DrizzledImage, limits: QualityLimits
) -> Judgement:
    """What drizzlepac says of a catalogue and that of the Hubble Legacy Archive."""
    del product
    details = _part(content, "Cross-match details")
    matches = _number(details, "number of cross-matches")
    numbers: dict[str, float | int | str | None] = {
        "n_compared": None if matches is None else int(matches)
    }
    failed = []
    for title in content.get("data", {}):
        if not title.endswith(" RESULTS"):
            continue
        values, quantity = _part(content, title), title.removesuffix(" RESULTS").capitalize()
        numbers[f"{quantity}: mean"] = _number(values, "3x3 Sigma-Clipped Mean")
        if values.get("Comparison Test Status") != "OK":
            failed.append(quantity)
    means = {quantity: numbers.get(f"{quantity}: mean") for quantity in _JUDGED}
    if matches is None or matches < limits.min_matches or None in means.values():
        return _not_checked(f"fewer than {limits.min_matches} sources in common", numbers)
    words, faults = [], []
    for quantity, mean in means.items():
        limit, told = _JUDGED[quantity]
        words.append(told.format(mean))
        if abs(float(mean or 0.0)) > getattr(limits, limit):
            faults.append(f"{words[-1]}, more than {getattr(limits, limit):g}")
    told = f"{matches:.0f} sources in common, {', '.join(words)}"
    if failed:
        told += f"; drizzlepac says FAILURE of {', '.join(failed)}"
    return _judged(faults, told, numbers)


JUDGES: Mapping[str, Callable[[Content, DrizzledImage, QualityLimits], Judgement]] = {
    "num_sources": num_sources,
    "gaia_sources": gaia_sources,
    "gaia_distribution": gaia_distribution,
    "point_segment_crossmatch": point_segment_crossmatch,
    "interfilter_crossmatch": interfilter_crossmatch,
    "wcs": wcs,
    "photometry": photometry,
    "compare_sourcelists": compare_sourcelists,
}

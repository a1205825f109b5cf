"""Headers of differences between epochs: both inputs, how they were compared, what was found."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from astropy.io import fits

from hst_assets.imaging.astrodrizzle.cards import plane_header
from hst_assets.imaging.astrodrizzle.input_headers import PHOTOMETRY
from hst_assets.imaging.differences.subtraction import FLAGS, Difference, Stack
from hst_assets.imaging.noise import NoiseModel
from hst_assets.provenance import tool_version

__all__ = ["difference_headers"]

#: Cards of a stack that hold for a difference of two as well, where both agree.
_SHARED = (
    "TELESCOP",
    "INSTRUME",
    "DETECTOR",
    "FILTER",
    "TARGNAME",
    "OBJECT",
    "RA_TARG",
    "DEC_TARG",
    "D_SCALE",
    "D_PIXFRC",
    "D_KERNEL",
    "D_WTTYPE",
    "WCSNAME",
    "HST123 ALIGNOK",
    "HST123 ALIGNST",
    "HST123 ALIGNMT",
    "HST123 ALIGNRF",
)
_TIMES = {
    "DATE-OBS": "epoch: UT date of the first exposure",
    "TIME-OBS": "epoch: UT time of the first exposure",
    "EXPSTART": "epoch: first exposure's start (MJD, UTC)",
    "EXPEND": "epoch: last exposure's end (MJD, UTC)",
    "MJD-AVG": "epoch: mean time (MJD, UTC)",
    "EXPTIME": "epoch: exposure time (s)",
    "NINPUT": "epoch: number of exposures",
}

Card = tuple[str, Any, str]


def difference_headers(
    difference: Difference,
    *,
    epoch: Stack,
    template: Stack,
    names: tuple[str, str],
    digests: tuple[str, str],
    numbers: tuple[int, int],
    recipe: str,
) -> dict[str, fits.Header]:
    """The headers of a difference's HDUs: PRIMARY, SCI, ERR and DQ.

    Nothing in them depends on when or where it was made.

    Parameters
    ----------
    difference : Difference
        The product.
    epoch, template : Stack
        What it was made of; times are the epoch's.
    names, digests, numbers : tuple
        File name, digest of the recipe and number of the epoch and of the template.
    recipe : str
        Digest of the difference's own recipe.
    """
    primary = _shared(epoch.primary, template.primary)
    _fill(primary, ((key, epoch.primary.get(key), text) for key, text in _TIMES.items()))
    _fill(primary, _photometry(template))
    primary["BUNIT"] = (_unit(template), "units of SCI and ERR")
    _fill(primary, _inputs("E", "epoch", epoch, names[0], digests[0], numbers[0]))
    _fill(primary, _inputs("T", "template", template, names[1], digests[1], numbers[1]))
    _fill(primary, _found(difference))
    primary["CREATOR"] = f"hst_assets {tool_version('hst_assets')}"
    primary["RECIPE"] = recipe
    headers = {"PRIMARY": primary}
    for plane in ("SCI", "ERR", "DQ"):
        header = plane_header(difference.frame, str(primary.get("WCSNAME", "MIXED")))
        header["BUNIT"] = "UNITLESS" if plane == "DQ" else primary["BUNIT"]
        headers[plane] = header
    for flag, meaning in FLAGS.items():
        headers["DQ"].add_comment(f"{int(flag)} {flag.name}: {meaning}")
    return headers


def _fill(header: fits.Header, cards: Iterable[Card]) -> None:
    for key, value, comment in cards:
        if value is None:
            continue
        fits_in = not isinstance(value, str) or len(key) + len(value) + len(comment) < 60
        # Digits that nobody measured would leave no room for the comment.
        short = float(f"{value:.12g}") if isinstance(value, float) else value
        header[key] = (short, comment if fits_in else "")


def _shared(one: fits.Header, other: fits.Header) -> fits.Header:
    """Where they differ, MIXED for text and nothing for numbers."""
    shared = fits.Header()
    for key in _SHARED:
        value, second = one.get(key), other.get(key)
        if value is None and second is None:
            continue
        name = f"HIERARCH {key}" if " " in key else key
        if value == second:
            shared[name] = value
        elif isinstance(value, bool) or isinstance(second, bool):
            shared[name] = bool(value) and bool(second)
        elif isinstance(value, str) or isinstance(second, str):
            shared[name] = "MIXED"
    return shared


def _photometry(template: Stack) -> Iterable[Card]:
    """The template's calibration, for one count per second."""
    header = template.primary
    for key in PHOTOMETRY:
        if key in header:
            yield key, header[key], header.comments[key]
    exposed = 0.0 if template.model.rate else 2.5 * math.log10(template.model.exptime_s)
    for key, system in (("ZPAB", "AB"), ("ZPST", "ST")):
        if key in header:
            yield key, round(float(header[key]) - exposed, 5), f"{system} magnitude of 1 count/s"


def _unit(stack: Stack) -> str:
    unit = str(stack.primary.get("BUNIT", stack.detector.science_units))
    return f"{unit.removesuffix('/S')}/S"


def _inputs(
    letter: str, what: str, stack: Stack, name: str, digest: str, number: int
) -> Iterable[Card]:
    """File, times and noise of one of the two images."""
    header, model = stack.primary, stack.model
    yield f"{letter}_FILE", name, ""
    yield f"{letter}_RECIPE", digest, ""
    yield f"{letter}_EPOCH", number, f"number of the {what}"
    yield f"{letter}_DATE", header.get("DATE-OBS"), f"{what}'s first exposure (UT)"
    yield f"{letter}_MJD", header.get("MJD-AVG"), f"{what}'s mean time (MJD, UTC)"
    yield f"{letter}_EXPT", header.get("EXPTIME"), f"{what}'s exposure time (s)"
    yield f"{letter}_NEXP", header.get("NINPUT"), f"{what}'s exposures"
    yield from _noise(letter, what, model)


def _noise(letter: str, what: str, model: NoiseModel) -> Iterable[Card]:
    yield f"{letter}_GAIN", model.gain_e, f"{what}: electrons per count"
    yield f"{letter}_RDN", model.read_noise_e, f"{what}: read noise of an exposure (e)"
    yield f"{letter}_DARK", model.dark_e_per_s, f"{what}: dark current (e/s, native pixel)"
    yield f"{letter}_FLASH", model.post_flash_e, f"{what}: post-flash subtracted (e, exposure)"
    yield f"{letter}_SKY", model.sky_per_s, f"{what}: sky (count/s, native pixel)"


def _found(difference: Difference) -> Iterable[Card]:
    """How the two images compare."""
    figures, stars = difference.figures, difference.figures.stars
    x, y = stars.offset_pix or (None, None)
    yield "DIFSCALE", figures.scale, "factor of the epoch (PHOTFLAM)"
    yield "DIFNOTE", figures.not_scaled or None, ""
    yield "SKYDIFF", figures.residual_sky, "epoch's sky - template's, taken off SCI"
    yield "SKYDERR", figures.residual_sky_error, "its error"
    yield "DROPRAT", round(figures.drop_ratio, 6), "side of drop over pixel"
    yield "NOISCORR", figures.correlation, "ERR over scatter of a single pixel"
    yield "NOISRAT", figures.noise_ratio, "measured over predicted scatter"
    yield "MEDERR", figures.median_error, "median ERR of empty pixels"
    yield "REGDX", x, "stars: epoch minus template (pixel)"
    yield "REGDY", y, "stars: epoch minus template (pixel)"
    yield "REGERR", stars.offset_error_pix, "its error on an axis (pixel)"
    yield "FLUXRAT", stars.flux_ratio, "stars: epoch over template"
    yield "STARFLR", stars.flux_floor, "relative error of a star beyond ERR"
    yield "NREGSTAR", stars.n_stars, "stars compared"

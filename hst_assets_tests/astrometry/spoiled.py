"""Simulated exposures spoilt in every way that an archive or a download has been seen to offer."""

from __future__ import annotations

import string
from collections.abc import Callable

import numpy as np
from astropy.io import fits
from scipy.ndimage import binary_dilation, convolve1d

#: Each takes the HDU list of a WFC3/UVIS exposure with one chip, and a random generator.
SPOILERS: dict[str, Callable] = {}
#: What is left of files whose transfer broke off.
CUT_SHORT = {"cut_short": 0.5, "cut_in_the_header": 0.0003}


def spoilt(name, source, destination):
    """Write a spoilt copy of an exposure."""
    with fits.open(source, memmap=False) as hdus:
        SPOILERS[name](hdus, np.random.default_rng(11))
        hdus.writeto(destination)
    if name in CUT_SHORT:
        with destination.open("r+b") as file:
            file.truncate(int(CUT_SHORT[name] * destination.stat().st_size))
    return destination


def spoiler(function):
    SPOILERS[function.__name__] = function
    return function


def _sky(hdus, rng):
    """An image of sky alone, with the noise of this one."""
    data = hdus["SCI", 1].data
    middle = np.median(data)
    noise = 1.4826 * np.median(np.abs(data - middle))
    return rng.normal(middle, noise, data.shape).astype(np.float32)


@spoiler
def good(hdus, rng):
    """Nothing is wrong with this one."""


@spoiler
def no_overlap(hdus, rng):
    """Another field, two arcminutes away."""
    hdus["SCI", 1].header["CRVAL2"] += 2 / 60


@spoiler
def wrong_by_a_degree(hdus, rng):
    """The right field; its pointing is a degree off."""
    hdus["SCI", 1].header["CRVAL1"] += 1.0


@spoiler
def two_stars(hdus, rng):
    """The two brightest stars of it, on bare sky."""
    data, sky = hdus["SCI", 1].data, _sky(hdus, rng)
    left = data.copy()
    left[:20], left[-20:], left[:, :20], left[:, -20:] = 0, 0, 0, 0
    for _ in range(2):
        y, x = np.unravel_index(np.argmax(left), left.shape)
        box = np.s_[max(y - 12, 0) : y + 13, max(x - 12, 0) : x + 13]
        sky[box], left[box] = data[box], 0
    hdus["SCI", 1].data = sky
    hdus["DQ", 1].data[:] = 0


@spoiler
def only_cosmic_rays(hdus, rng):
    """No star, and 600 cosmic rays: tracks of one to six pixels."""
    sky = _sky(hdus, rng)
    for _ in range(600):
        y, x = rng.integers(5, 505, 2)
        dy, dx = rng.integers(-1, 2, 2)
        for step in range(rng.integers(1, 7)):
            sky[(y + step * dy) % 512, (x + step * dx) % 512] += rng.uniform(200, 20000)
    hdus["SCI", 1].data = sky
    hdus["DQ", 1].data[:] = 0


@spoiler
def bare_sky(hdus, rng):
    """Nothing on it."""
    hdus["SCI", 1].data = _sky(hdus, rng)
    hdus["DQ", 1].data[:] = 0


@spoiler
def saturated(hdus, rng):
    """Every star is saturated and has bled."""
    data = hdus["SCI", 1].data
    middle = np.median(data)
    stars = data > middle + 10 * 1.4826 * np.median(np.abs(data - middle))
    stars = binary_dilation(stars, iterations=4)
    data[stars] = 72000
    hdus["DQ", 1].data[stars] |= 256


@spoiler
def not_a_number(hdus, rng):
    hdus["SCI", 1].data[:] = np.nan


@spoiler
def all_zero(hdus, rng):
    hdus["SCI", 1].data[:] = 0


@spoiler
def no_dq(hdus, rng):
    del hdus["DQ", 1]


@spoiler
def no_err(hdus, rng):
    del hdus["ERR", 1]


@spoiler
def no_sci(hdus, rng):
    del hdus["SCI", 1]


@spoiler
def dq_of_another_shape(hdus, rng):
    hdus["DQ", 1].data = hdus["DQ", 1].data[:100, :100].copy()


@spoiler
def empty_sci(hdus, rng):
    hdus["SCI", 1].data = None


@spoiler
def empty_dq(hdus, rng):
    hdus["DQ", 1].data = None


@spoiler
def all_dq_bad(hdus, rng):
    hdus["DQ", 1].data[:] = 4


@spoiler
def trailed(hdus, rng):
    """A moving target was followed: each star is a trail of 30 pixels."""
    hdus[0].header["MTFLAG"] = "T"
    hdus["SCI", 1].data = convolve1d(hdus["SCI", 1].data, np.ones(30) / 30, axis=1)


@spoiler
def moving_target(hdus, rng):
    """A moving target was followed, so slowly that the stars are round."""
    hdus[0].header["MTFLAG"] = "T"


@spoiler
def no_idcscale(hdus, rng):
    for hdu in hdus:
        hdu.header.remove("IDCSCALE", ignore_missing=True)


@spoiler
def all_letters(hdus, rng):
    """Earlier tools left a solution under each of the 26 letters."""
    for header in [hdu.header for hdu in hdus if hdu.name == "SCI"]:
        own = {key.removesuffix("O"): header[key] for key in header if key.endswith("O")}
        own.pop("", None)
        for letter in string.ascii_uppercase:
            header.update({f"{key}{letter}": value for key, value in own.items()})
            header[f"WCSNAME{letter}"] = f"OPUS_{letter}"


@spoiler
def no_idctab(hdus, rng):
    hdus[0].header.remove("IDCTAB", ignore_missing=True)


@spoiler
def idctab_not_there(hdus, rng):
    hdus[0].header["IDCTAB"] = "N/A"


@spoiler
def cut_short(hdus, rng):
    """Half of the file (see `spoilt`)."""


@spoiler
def cut_in_the_header(hdus, rng):
    """The first two blocks of the file."""


@spoiler
def no_times(hdus, rng):
    for key in ("EXPSTART", "EXPEND", "EXPTIME", "DATE-OBS", "TIME-OBS"):
        for hdu in hdus:
            hdu.header.remove(key, ignore_missing=True)


@spoiler
def no_wcs(hdus, rng):
    header = hdus["SCI", 1].header
    for key in ("CTYPE", "CRVAL", "CRPIX"):
        for axis in (1, 2):
            header.remove(f"{key}{axis}", ignore_missing=True)
    for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        header.remove(key, ignore_missing=True)

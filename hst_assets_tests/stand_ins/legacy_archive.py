"""A stand-in of the Hubble Legacy Archive's files of a visit: images, and lists of their sources.

Lists are written from the scene's truth, with columns and names as the HLA's pipeline had them, and
know nothing of HAP's catalogues: magnitudes are true ones less what an aperture loses, pixels are
those of an image with a grid of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from hst_assets.simulate.bands import BANDS
from hst_assets.simulate.psf import psf_model

#: WFC3/IR: apertures of the HLA's lists, arcsec; and the pixel of the simulated detector.
RADII_ARCSEC = (0.15, 0.45)
_PIXEL_ARCSEC = (0.13, 0.13)
_SKY_ARCSEC = (3.0, 3.5)
#: The HLA's image begins so many pixels farther left and lower.
GRID_OFFSET = (17, 9)
_MARGIN_PIX = 12


@dataclass(frozen=True)
class Difference:
    """What the lists have beyond the truth.

    Attributes
    ----------
    east_arcsec : float
        Shift of all positions to the east.
    magnitude : float
        Added to all magnitudes.
    """

    east_arcsec: float = 0.0
    magnitude: float = 0.0


def write_legacy_files(folder, stars, hap_image, *, lists=None, difference=None, programs=None):
    """Write the image of a filter, and its lists.

    Parameters
    ----------
    folder : Path
        Where the image goes.
    stars : Table
        Truth: ``ra``, ``dec`` and magnitudes by band.
    hap_image : DrizzledImage
        HAP's image of the same filter, for its name and place.
    lists : Path, optional
        Where the lists go; by default beside the image.
    difference : Difference, optional
        By default none.
    programs : tuple of str, optional
        ``dao``, ``sex`` or, by default, both.
    """
    difference = difference or Difference()
    named = f"{hap_image.beginning}{hap_image.filter}"
    with fits.open(hap_image.path) as hdus:
        primary, header = hdus[0].header.copy(), hdus["SCI"].header.copy()
        exposed = hdus["WHT"].data > 0
    for axis, offset in enumerate(GRID_OFFSET, start=1):
        header[f"CRPIX{axis}"] += offset
    shape = tuple(np.add(exposed.shape, GRID_OFFSET[::-1]))
    image = fits.ImageHDU(np.zeros(shape, np.float32), header, name="SCI")
    folder.mkdir(parents=True, exist_ok=True)
    fits.HDUList([fits.PrimaryHDU(header=primary), image]).writeto(folder / f"{named}_drz.fits")
    table = _sources(stars, hap_image.filter, WCS(header), exposed, difference)
    lists = folder if lists is None else lists
    lists.mkdir(parents=True, exist_ok=True)
    for program in programs or ("dao", "sex"):
        _FORMS[program](table).write(lists / f"{named}_{program}phot.txt", format="ascii.csv")


def _sources(stars, name, wcs, exposed, difference):
    """Stars that are well inside of what HAP's image shows."""
    x, y = wcs.all_world2pix(stars["ra"], stars["dec"], 1)
    columns = np.rint(x - 1 - GRID_OFFSET[0]).astype(int)
    rows = np.rint(y - 1 - GRID_OFFSET[1]).astype(int)
    ny, nx = exposed.shape
    inside = (
        (columns > _MARGIN_PIX)
        & (columns < nx - _MARGIN_PIX)
        & (rows > _MARGIN_PIX)
        & (rows < ny - _MARGIN_PIX)
    )
    inside[inside] = exposed[rows[inside], columns[inside]]
    seen = stars[inside]
    east = difference.east_arcsec / 3600 / np.cos(np.radians(seen["dec"]))
    table = Table({"ra": seen["ra"] + east, "dec": seen["dec"], "x": x[inside], "y": y[inside]})
    true = seen[f"ab_wfc3_ir_{name}"] + difference.magnitude
    band = BANDS["wfc3_ir"][name.upper()]
    psf = psf_model("wfc3_ir", band, _PIXEL_ARCSEC)
    for number, radius in enumerate(RADII_ARCSEC, start=1):
        loss = -2.5 * np.log10(psf.net_encircled(radius, _SKY_ARCSEC))
        table[f"mag{number}"] = true + loss
        table[f"flux{number}"] = 10 ** (-0.4 * (true + loss - band.zero_point_ab))
    return table


def _daophot(table):
    """As the HLA's daophot lists of WFC3/IR."""
    small, large = (f"{radius:g}" for radius in RADII_ARCSEC)
    number = len(table)
    return Table(
        {
            "X-Center": table["x"],
            "Y-Center": table["y"],
            "RA": table["ra"],
            "DEC": table["dec"],
            "ID": np.arange(1, number + 1),
            f"MagAp({small})": table["mag1"],
            f"MagErr({small})": np.full(number, 0.01),
            f"MagAp({large})": table["mag2"],
            f"MagErr({large})": np.full(number, 0.01),
            f"MSky({large})": np.full(number, 0.0),
            f"Stdev({large})": np.full(number, 0.01),
            f"Flux({large})": table["flux2"],
            "CI": table["mag1"] - table["mag2"],
            "Flags": np.zeros(number, int),
        }
    )


def _sextractor(table):
    """As the HLA's SExtractor lists, with hyphens in the names of columns."""
    number = len(table)
    return Table(
        {
            "X-IMAGE": table["x"],
            "Y-IMAGE": table["y"],
            "RA": table["ra"],
            "DEC": table["dec"],
            "NUMBER": np.arange(1, number + 1),
            "FLUX-APER1": table["flux1"],
            "FLUX-APER2": table["flux2"],
            "MAG-APER1": table["mag1"],
            "MAG-APER2": table["mag2"],
            "FLAGS": np.zeros(number, int),
        }
    )


_FORMS = {"dao": _daophot, "sex": _sextractor}

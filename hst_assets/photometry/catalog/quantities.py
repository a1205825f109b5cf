"""What the columns of a catalogue hold: the one registry of names, titles, units and meanings.

Titles are those of DOLPHOT's ``.columns`` file, which name a column to people; the keys are the
names by which this package and its tables know it. Of an image, some titles differ from those of a
filter (``Measured counts`` and ``Total counts``) though the quantity is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import astropy.units as u

__all__ = [
    "ANALYTIC_BLOCK",
    "FIRST_EXTREME_FLAG",
    "HST_BLOCK",
    "MISSING_MAG",
    "MISSING_MAG_ERROR",
    "NOT_RECOVERED",
    "OBJECT_TYPES",
    "OFF_IMAGE",
    "PER_OBJECT",
    "Quantity",
]

#: A magnitude that was not measured, and its error (DOLPHOT writes no blanks).
MISSING_MAG = 99.999
MISSING_MAG_ERROR = 9.999
#: Quality flags: the star is off the image; the artificial star was not recovered.
OFF_IMAGE = 9
NOT_RECOVERED = 16
#: Flags from here on are worthless: too few of the star's pixels are good.
FIRST_EXTREME_FLAG = 8
#: What the object type means.
OBJECT_TYPES = MappingProxyType(
    {1: "bright star", 2: "faint star", 3: "elongated", 4: "hot pixel", 5: "extended"}
)


@dataclass(frozen=True)
class Quantity:
    """One quantity of a catalogue.

    Attributes
    ----------
    key : str
        Its name in this package and in flat tables.
    title : str
        Its title in the ``.columns`` file, of an object or of a filter.
    description : str
        What it means.
    dtype : str
        Its numpy type.
    unit : unit or None
        None: a plain number.
    image_title : str
        Its title for a single image, if that is another one.
    """

    key: str
    title: str
    description: str
    dtype: str = "float64"
    unit: u.UnitBase | None = None
    image_title: str = ""

    @property
    def title_of_image(self) -> str:
        """Its title in the column of a single image."""
        return self.image_title or self.title

    @property
    def is_integer(self) -> bool:
        """Whether it is a whole number."""
        return not self.dtype.startswith("float")


#: The first eleven columns, of the object as a whole.
PER_OBJECT: tuple[Quantity, ...] = (
    Quantity("extension", "Extension (zero for base image)", "FITS extension", "int32"),
    Quantity("chip", "Chip (for three-dimensional FITS image)", "Plane of the extension", "int32"),
    Quantity(
        "x",
        "Object X position on reference image (or first image, if no reference)",
        "X on the reference: numpy index + 0.5, FITS pixel - 0.5",
        unit=u.pix,
    ),
    Quantity(
        "y",
        "Object Y position on reference image (or first image, if no reference)",
        "Y on the reference: numpy index + 0.5, FITS pixel - 0.5",
        unit=u.pix,
    ),
    Quantity("chi", "Chi for fit", "Chi of the fit over all images"),
    Quantity("snr", "Signal-to-noise", "Signal-to-noise ratio over all images"),
    Quantity(
        "sharpness", "Object sharpness", "0: a star; positive: sharper; negative: more extended"
    ),
    Quantity("roundness", "Object roundness", "0: round"),
    Quantity(
        "position_angle",
        "Direction of major axis (if not round)",
        "Direction of the major axis, in steps of 5; without meaning where the object is round",
        "int32",
        u.deg,
    ),
    Quantity(
        "crowding",
        "Crowding",
        "By how much brighter it would be had its neighbours not been fitted at the same time",
        unit=u.mag,
    ),
    Quantity(
        "object_type",
        "Object type (1=bright star, 2=faint, 3=elongated, 4=hot pixel, 5=extended)",
        "1 bright star, 2 faint star, 3 elongated, 4 hot pixel, 5 extended",
        "int32",
    ),
)

_MAGNITUDES = (
    Quantity(
        "vega_mag",
        "Instrumental VEGAMAG magnitude",
        "Magnitude in the instrument's Vega system, with aperture correction and, where DOLPHOT"
        " corrects the charge transfer, that correction; 99.999: not measured",
        unit=u.mag,
    ),
    Quantity(
        "ubvri_mag",
        "Transformed UBVRI magnitude",
        "The same transformed to Johnson and Cousins; 99.999: not known",
        unit=u.mag,
    ),
)
_INSTRUMENTAL = Quantity(
    "instrumental_mag",
    "Instrumental magnitude",
    "Magnitude by the zero point 25, or the one set, with aperture correction; 99.999: not"
    " measured",
    unit=u.mag,
)
_FLUXES = (
    Quantity(
        "counts",
        "Total counts",
        "Counts of the whole exposure under the PSF, without aperture correction; of a filter:"
        " weighted mean rate times the exposure time of all its images",
        unit=u.ct,
        image_title="Measured counts",
    ),
    Quantity(
        "sky",
        "Total sky level",
        "Sky of the whole exposure; of a filter: weighted mean rate times the exposure time of all"
        " its images",
        unit=u.ct / u.pix,
        image_title="Measured sky level",
    ),
    Quantity(
        "rate",
        "Normalized count rate",
        "Count rate with aperture correction, of which Vega has 1: the magnitude is -2.5 lg of it",
    ),
    Quantity(
        "rate_error",
        "Normalized count rate uncertainty",
        "Its error; about 9999, or 9999 times the rate of one count per second, where nothing was"
        " measured",
    ),
)
_QUALITY = (
    Quantity(
        "mag_error",
        "Magnitude uncertainty",
        "1.0857 / (S/N) mag, capped at 9.999; of a filter without meaning where its magnitude is"
        " 99.999",
        unit=u.mag,
    ),
    Quantity("chi", "Chi", "Chi of the fit"),
    Quantity("snr", "Signal-to-noise", "Signal-to-noise ratio"),
    Quantity("sharpness", "Sharpness", "0: a star; positive: sharper; negative: more extended"),
    Quantity("roundness", "Roundness", "0: round"),
    Quantity(
        "crowding",
        "Crowding",
        "By how much brighter it would be had its neighbours not been fitted at the same time",
        unit=u.mag,
    ),
)
_PSF = (
    Quantity("psf_fwhm", "PSF FWHM", "FWHM of the fitted PSF", unit=u.pix),
    Quantity("psf_eccentricity", "PSF eccentricity", "Eccentricity of the fitted PSF"),
    Quantity("psf_a", "PSF a parameter", "Its width along X", unit=u.pix),
    Quantity("psf_b", "PSF b parameter", "Its width along Y", unit=u.pix),
    Quantity("psf_c", "PSF c parameter", "Its skew"),
)
_FLAG = Quantity(
    "flag",
    "Photometry quality flag",
    "Sum of 1: the aperture leaves the chip, 2: a third of it is bad, 4: saturated core, 8:"
    " extreme; 9: off the image, 16: artificial star not recovered",
    "int32",
)

#: The columns of a filter, and of an image of an instrument that DOLPHOT knows.
HST_BLOCK: tuple[Quantity, ...] = (*_FLUXES, *_MAGNITUDES, *_QUALITY, _FLAG)
#: The columns of an image of any other instrument, whose PSF is an analytic one.
ANALYTIC_BLOCK: tuple[Quantity, ...] = (*_FLUXES, _INSTRUMENTAL, *_QUALITY, *_PSF, _FLAG)

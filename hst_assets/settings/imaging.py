"""Settings of drizzled products and of differences."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from hst_assets.detectors import DETECTORS
from hst_assets.settings.fields import Names, Positive, Section, UserPath
from hst_assets.sky_position import parse_position

__all__ = ["DifferenceSettings", "DrizzleSettings"]

Level = Annotated[float, Field(allow_inf_nan=False)]

_ROOTNAME = re.compile(r"[a-z0-9]{9}")
_OBJECT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+.-]{0,63}")


class DrizzleSettings(Section):
    """How exposures are combined (AstroDrizzle)."""

    frame: Literal["target", "minimal"] = "target"
    """Frame of the products: the smallest rectangle that covers the exposures, centred on the
    target (target) or not (minimal)."""
    no_rotation: bool = False
    """Keep the reference exposure's orientation instead of north up; one for all products of a
    target."""
    add: Names = ()
    """Rootnames of exposures to add to the reference image.

    They must have the reference's detector and filter; they may be in use or rejected by the
    selection.
    """
    mask: str | None = None
    """Centre ('ra,dec' in any usual notation) of a box to mask in the exposures of the reference
    image.

    The exposures of `add` are masked outside this box.
    """
    mask_half_size_pix: Annotated[int, Field(ge=1)] = 200
    """Half the side of the box of `mask`, native pixels."""
    no_mask: bool = False
    """Do not use other exposures to reject cosmic rays in products of one or two exposures."""
    fix_zero_point: Annotated[float, Field(ge=-50, le=100)] | None = None
    """Rescale products to this AB zero point, mag."""
    photometry: dict[str, tuple[Positive, Positive]] = Field(default={})
    """PHOTFLAM and PHOTPLAM by band, for exposures whose header has none or those of another
    filter.

    Such as ``"acs_hrc.f555w" = [3.0e-19, 5356.0]`` in ``[drizzle.photometry]``. Without them a
    product of such exposures has no zero point.
    """
    engine: Literal["direct", "astrodrizzle"] = "direct"
    """What drives drizzlepac's C code: this project (direct: several cores, in memory) or
    AstroDrizzle.

    Pixels agree to 1e-6 (rounding). AstroDrizzle is always used for what `direct` cannot make:
    products with kernel lanczos3, driz_cr_corr or `keep_artifacts`.
    """
    parameters_file: UserPath | None = None
    """TOML file of AstroDrizzle parameters that replace the registry's.

    Tables hold them for all products, or by detector and number of exposures. A relative path
    starts at the work directory.
    """
    parameters: dict[str, dict[str, Any]] = Field(default={})
    """The same tables, written here; they take precedence over those of `parameters_file`."""
    scale_arcsec: Annotated[float, Field(ge=0.005, le=2)] | None = None
    """Pixel scale of the products, arcsec; unset: the detector's own (see the registry)."""
    size_pix: Annotated[int, Field(gt=15)] | None = None
    """Side of a square frame centred on the target, pixels; unset: the smallest frame that covers
    the exposures."""
    pixfrac: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Size of a drop relative to the native pixel (final_pixfrac); always 1 with lanczos3."""
    kernel: Literal["square", "point", "gaussian", "turbo", "lanczos3"] = "square"
    """Shape of the drop (final_kernel)."""
    sky_sub: bool = True
    """Subtract the sky before combining."""
    sky_level: dict[str, Level] = Field(default={})
    """The sky's level by band or by rootname, for fields without a piece of empty sky; what is not
    named is measured.

    Such as ``"wfc3_uvis.f606w" = 0.12`` or ``iabc01a1q = 0.12`` in ``[drizzle.sky_level]``: counts
    per second and native pixel, as SKYMEAN has it (electrons; DN for WFPC2, mean over the chips). A
    band's level is the mean over the exposures of each of its products. Exposures of the product
    that have levels of their own count before it, and the others follow them. The differences
    between exposures stay as measured.
    """
    combine_type: Literal["median", "minmed", "imedian", "iminmed", "mean"] | None = None
    """How the median image is combined: median, minmed, imedian, iminmed or mean.

    Unset: minmed for fewer than 7 exposures, median for 7 or more.
    """
    weight_type: Literal["EXP", "ERR", "IVM"] = "EXP"
    """What the weight map holds (final_wht_type): exposure time (EXP), or inverse variance of the
    background (IVM) or of each pixel (ERR).

    IVM needs the flat fields; ERR underestimates the flux of bright stars.
    """
    units: Literal["cps", "counts"] = "cps"
    """Units of the products: electrons per second (cps) or electrons in the total exposure time
    (counts); DN instead of electrons for WFPC2."""
    object_name: str | None = None
    """Name of the object, used as a prefix of file names and as TARGNAME."""
    keep_artifacts: bool = False
    """Keep AstroDrizzle's intermediate files."""
    max_bad_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Maximum fraction of a product's footprint that has no weight or is not finite."""
    max_flux_error: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Maximum relative difference between star fluxes on the product and on the exposures."""

    @field_validator("mask")
    @classmethod
    def _a_position(cls, value: str | None) -> str | None:
        if value is not None:
            parse_position(value)
        return value

    @field_validator("photometry")
    @classmethod
    def _by_band(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not _is_band(name):
                raise ValueError(f"not a band, such as acs_hrc.f555w: {name!r} ({_why_none(name)})")
        return value

    @field_validator("sky_level")
    @classmethod
    def _by_band_or_exposure(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not (_is_band(name) or _ROOTNAME.fullmatch(name)):
                raise ValueError(
                    "neither a band, such as acs_hrc.f555w, nor a rootname, such as iabc01a1q: "
                    f"{name!r} ({_why_none(name)})"
                )
        return value

    @model_validator(mode="after")
    def _levels_are_subtracted(self) -> Self:
        if self.sky_level and not self.sky_sub:
            raise ValueError("sky_level needs sky_sub: with sky_sub = false nothing is subtracted")
        return self

    def without_effect(self, bands: Collection[str], rootnames: Collection[str]) -> list[str]:
        """Tell of names in `photometry` and `sky_level` that none of some exposures has.

        Parameters
        ----------
        bands, rootnames : collection of str
            Of the exposures that are combined.

        Returns
        -------
        list of str
            A sentence for each of the two settings with such names.
        """
        known = ", ".join(sorted(set(bands))) or "none"
        told = []
        for setting, names, what in (
            ("photometry", {*self.photometry} - {*bands}, "band"),
            ("sky_level", {*self.sky_level} - {*bands, *rootnames}, "band or exposure"),
        ):
            if names:
                told.append(
                    f"drizzle.{setting} has no effect for {', '.join(sorted(names))}: no such "
                    f"{what} is combined (bands: {known})"
                )
        return told

    @field_validator("object_name")
    @classmethod
    def _a_file_name(cls, value: str | None) -> str | None:
        if value is not None and not _OBJECT_NAME.fullmatch(value):
            raise ValueError(
                "a file name must be able to start with it: letters, digits, '_', '+', '-', '.'"
            )
        return value


def _is_band(name: str) -> bool:
    detector_key, _, filter_name = name.partition(".")
    detector = DETECTORS.get(detector_key)
    return detector is not None and name == name.lower() and detector.has_passband(filter_name)


def _why_none(name: str) -> str:
    """What of a name is that of no band, with the names that are known."""
    detector_key, _, filter_name = name.partition(".")
    detector = DETECTORS.get(detector_key)
    if detector is None:
        return f"detectors are {', '.join(DETECTORS)}"
    if name != name.lower():
        return "write it in lower case"
    known = ", ".join(sorted(detector.filters)).lower()
    return f"no filter {filter_name!r}; {detector_key} has {known}, ramps, quads and polarizers"


class DifferenceSettings(Section):
    """Difference images between epochs of one detector and filter."""

    template: Literal["deepest", "first", "last"] | Annotated[int, Field(ge=1)] = "deepest"
    """Epoch that is subtracted from the others: the deepest, the first, the last, or the one with
    this number."""

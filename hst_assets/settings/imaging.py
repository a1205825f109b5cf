"""Settings of drizzled products and of differences."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from hst_assets.settings.fields import Names, Section, UserPath
from hst_assets.sky_position import parse_position

__all__ = ["DifferenceSettings", "DrizzleSettings"]

_OBJECT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+.-]{0,63}")


class DrizzleSettings(Section):
    """How exposures are combined (AstroDrizzle)."""

    #: What the products' frame is: the smallest rectangle about the target that covers the
    #: exposures, or the smallest wherever it lies.
    frame: Literal["target", "minimal"] = "target"
    #: Keep the orientation of the reference's first exposure instead of north up
    #: (the guide's --no-rotation); one for all products of a target.
    no_rotation: bool = False
    #: Exposures (rootnames) that go into the reference image besides those chosen (--drizzle-add);
    #: of the reference's detector and filter, in use or refused by the selection.
    add: Names = ()
    #: Centre ("ra,dec", any usual notation) of a box that is masked in the exposures of the
    #: reference image, and outside of which the exposures of `add` are masked (--drizzle-mask).
    mask: str | None = None
    #: Half the side of that box, in native pixels.
    mask_half_size_pix: Annotated[int, Field(ge=1)] = 200
    #: Do not look for the cosmic rays of one or two exposures with the help of others of the same
    #: detector (--no-mask).
    no_mask: bool = False
    #: Rescale products to this AB zero point (--fix-zpt).
    fix_zero_point: Annotated[float, Field(ge=-50, le=100)] | None = None
    #: Who drives drizzlepac's C code: this project, on several cores and through memory, or
    #: AstroDrizzle. Pixels are the same but for rounding (1e-6). AstroDrizzle also makes what the
    #: other does not: products with kernel lanczos3 or driz_cr_corr, and with keep_artifacts.
    engine: Literal["direct", "astrodrizzle"] = "direct"
    #: A TOML file with AstroDrizzle's parameters by name, in tables for all or by detector and
    #: number of exposures, that take the place of the registry's; relative paths are from the
    #: work directory.
    parameters_file: UserPath | None = None
    #: The same tables, written here; they win over those of `parameters_file`.
    parameters: dict[str, dict[str, Any]] = Field(default={})
    #: Pixel scale of the product in arcsec; None: the detector's own figure.
    scale_arcsec: Annotated[float, Field(ge=0.005, le=2)] | None = None
    #: Side of a square frame centred on the target, in pixels (the guide's --drizzle-dim);
    #: None: the smallest frame that covers the exposures.
    size_pix: Annotated[int, Field(gt=15)] | None = None
    #: Side of the drop over that of the native pixel (final_pixfrac); lanczos3 takes 1 always.
    pixfrac: Annotated[float, Field(gt=0, le=1)] = 0.8
    #: Shape of the drop (final_kernel).
    kernel: Literal["square", "point", "gaussian", "turbo", "lanczos3"] = "square"
    #: Subtract the sky before combining.
    sky_sub: bool = True
    #: How the median image is combined; None: minmed below 7 exposures, median from there on.
    combine_type: Literal["median", "minmed", "imedian", "iminmed", "mean"] | None = None
    #: What the weight map holds (final_wht_type): exposure time, or inverse variance of the
    #: background (IVM; wants the flat fields) or of each pixel (ERR; dims bright stars).
    weight_type: Literal["EXP", "ERR", "IVM"] = "EXP"
    #: cps: electrons per second; counts: electrons in the whole exposure time. (WFPC2: DN.)
    units: Literal["cps", "counts"] = "cps"
    #: Name of the object, prefixed to file names and written to TARGNAME.
    object_name: str | None = None
    #: Keep AstroDrizzle's scratch products (the guide's --keep-drizzle-artifacts).
    keep_artifacts: bool = False
    #: Largest share of a product's footprint that may be without weight or not finite.
    max_bad_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    #: Largest departure of star fluxes on the product from those on the exposures.
    max_flux_error: Annotated[float, Field(gt=0, lt=1)] = 0.05

    @field_validator("mask")
    @classmethod
    def _a_position(cls, value: str | None) -> str | None:
        if value is not None:
            parse_position(value)
        return value

    @field_validator("object_name")
    @classmethod
    def _a_file_name(cls, value: str | None) -> str | None:
        if value is not None and not _OBJECT_NAME.fullmatch(value):
            raise ValueError(
                "must serve as the beginning of a file name: letters, digits, '_', '+', '-', '.'"
            )
        return value


class DifferenceSettings(Section):
    """Difference images between epochs of one detector and filter."""

    #: Which epoch is subtracted from the others: the deepest, the first, the last, or the one of
    #: this number.
    template: Literal["deepest", "first", "last"] | Annotated[int, Field(ge=1)] = "deepest"

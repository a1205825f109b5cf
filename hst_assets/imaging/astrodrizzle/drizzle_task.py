"""The child's side of `hst_assets.imaging.astrodrizzle.run`: only child processes import this.

The current directory is the call's own scratch folder.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning
from astropy.wcs import WCS, FITSFixedWarning
from drizzlepac import astrodrizzle
from drizzlepac import sky as drizzlepac_sky
from drizzlepac.wcs_functions import build_hstwcs
from numpy.typing import NDArray

from hst_assets.detectors import DETECTORS, Detector
from hst_assets.exposures.dq_files import quality_file
from hst_assets.failures import ToolFailed
from hst_assets.imaging import quality as product_quality
from hst_assets.imaging import wfpc2_gain
from hst_assets.imaging.astrodrizzle import cards as product_cards
from hst_assets.imaging.astrodrizzle.error_planes import with_errors
from hst_assets.imaging.astrodrizzle.flux_scale import FluxScale, flux_scale
from hst_assets.imaging.astrodrizzle.input_headers import Input, read_input
from hst_assets.imaging.astrodrizzle.noise_cards import flash_problems, mean_sky
from hst_assets.imaging.astrodrizzle.parameters import engine_of
from hst_assets.imaging.astrodrizzle.scratch_copies import (
    good_pixels,
    scratch_copies,
)
from hst_assets.imaging.astrodrizzle.sky_levels import bring_to_levels, levels_of, sky_cards
from hst_assets.imaging.box_mask import FLAG as BOX_FLAG
from hst_assets.imaging.box_mask import BoxMask, mask_boxes
from hst_assets.imaging.cosmic_rays import (
    FLAG,
    MOST_HELPED,
    MOST_OTHERS,
    flag_cosmic_rays,
    model_frame,
    science_and_quality,
)
from hst_assets.imaging.direct.drizzle import drizzle_directly
from hst_assets.imaging.forked import in_children
from hst_assets.imaging.frames import Frame, exposure_outlines
from hst_assets.imaging.sky_matching import let_skies_be_matched
from hst_assets.imaging.zero_point import rescale
from hst_assets.products.preview import write_preview
from hst_assets.settings import DrizzleSettings
from hst_assets.sky_geometry import pixel_scale_arcsec

__all__ = ["combine"]

#: Sky subtracted from each chip (EXTVER) of each exposure (file name), native units.
Skies = dict[str, dict[int, float]]

#: What changes the measured skies of drizzlepac's image objects.
AdjustSkies = Callable[[Sequence[Any]], None]

_COSMIC_RAY = 4096
_OUTPUT = "drizzled"
#: Above this the intermediate images go through the disk; the product is the same.
_IN_MEMORY_PIXELS = 4e8

let_skies_be_matched()


def combine(
    exposures: Sequence[str],
    companions: Sequence[str],
    detector_key: str,
    frame: Mapping[str, Any],
    parameters: Mapping[str, Any],
    settings: Mapping[str, Any],
    name: str,
    cards: Mapping[str, Sequence[Any]],
    others: Sequence[Sequence[str]] = (),
    cores: int = 1,
    box: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Drizzle copies of `exposures` and leave ``name`` and its preview in the current directory.

    Parameters
    ----------
    exposures, companions : sequence of str
        Absolute paths; companions are the DQ files of WFPC2.
    detector_key : str
        Key of the detector's registry row.
    frame : mapping
        `Frame` as JSON.
    parameters : mapping
        AstroDrizzle's keyword arguments.
    settings : mapping
        `DrizzleSettings` as JSON.
    name : str
        The product's file name.
    cards : mapping
        ``{keyword: [value, comment]}`` for the primary header.
    others : sequence of (str, str), optional
        Absolute paths of exposures, and of their DQ, that tell cosmic rays from stars.
    cores : int, optional
        Processes at a time; the product does not depend on it.
    box : mapping, optional
        `BoxMask` as JSON.

    Returns
    -------
    dict
        The fields of `DrizzleReport` that the child knows, with ``product`` and ``preview``,
        names in the current directory.
    """
    started = time.monotonic()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    warnings.simplefilter("ignore", VerifyWarning)
    warnings.simplefilter("ignore", FITSFixedWarning)
    detector, target = DETECTORS[detector_key], Frame.from_json(frame)
    choices = DrizzleSettings.model_validate(settings)
    scale = flux_scale([Path(path) for path in exposures], detector, choices.photometry)
    copies = scratch_copies(exposures, companions, detector, choices, scale, cores)
    unread = flag_cosmic_rays(copies, others, detector) if others else []
    if box is not None:
        parameters, unread_in_box = _boxed(copies, BoxMask.from_json(box), detector, parameters)
        unread += unread_in_box
    unsubtracted = [read_input(path) for path in copies]
    levels = levels_of(unsubtracted, choices, parameters, detector)
    adjust: AdjustSkies | None = None
    if levels:
        adjust = partial(bring_to_levels, inputs=unsubtracted, detector=detector, levels=levels)
    with wfpc2_gain.in_force(scale.gain_e), wfpc2_gain.noise_in_electrons():
        planes, skies, complaints = _combined(
            copies, target, detector, choices, parameters, cores, adjust
        )
    complaints += [*unread, *scale.problems]
    if parameters["final_wht_type"] != choices.weight_type:
        complaints.append("exposures of this detector have no errors: weighted by time")
    if parameters["final_kernel"] == "lanczos3":
        _blank_without_weight(planes)
    inputs = [read_input(path) for path in copies]
    complaints += flash_problems(inputs)
    searched = (_COSMIC_RAY if parameters["driz_cr"] else 0) | (FLAG if others else 0)
    check = partial(
        _checked,
        *(planes, copies, inputs, detector, target, choices, parameters, complaints, searched),
    )
    headers = product_cards.product_headers(
        inputs,
        detector=detector,
        frame=target,
        settings=choices,
        parameters=parameters,
        extra={**cards, **_notes(scale, others), **sky_cards(levels, len(copies))},
        skies=skies,
        gain_e=scale.gain_e,
    )
    final = planes
    if choices.fix_zero_point is not None:
        final = rescale(
            planes,
            headers,
            zero_point=choices.fix_zero_point,
            weight_type=parameters["final_wht_type"],
        )
    final = with_errors(
        final,
        headers["PRIMARY"],
        copies,
        detector=detector,
        frame=target,
        good_bits=parameters["final_bits"],
        cores=cores,
    )
    preview = f"{name}.png"
    write = partial(_write, Path(name), final, headers, Path(preview))
    steps: list[Callable[[], Any]] = [check, write]
    report, _ = in_children(steps, cores)
    if not choices.keep_artifacts:
        _tidy({name, preview})
    return {
        **report,
        "sky_per_s": mean_sky(skies, inputs, detector),
        "product": name,
        "preview": preview,
        "seconds": round(time.monotonic() - started, 2),
    }


def _notes(scale: FluxScale, others: Sequence[Any]) -> dict[str, list[Any]]:
    """Cards about how the product came about."""
    notes: dict[str, list[Any]] = {
        "D_CRHELP": [len(others), "other exposures that told cosmic rays"]
    }
    if scale.note:
        notes["ZPNOTE"] = [scale.note, ""]
    return notes


def _tidy(kept: set[str]) -> None:
    """Free the disk now: the folders of a batch are only removed when all of it is done."""
    for path in Path().iterdir():
        if path.is_file() and path.name not in kept:
            path.unlink()


class _Complaints(logging.Handler):
    """Collects what AstroDrizzle gives up on without failing."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if "Reverting sky computation" in text:
            self.heard.append("the skies of the exposures could not be matched")
        elif "Cannot find flat field" in text:
            self.heard.append("no flat field: inverse variances do without it")
        elif "due to aborted median" in text:
            self.heard.append("the median failed, so that cosmic rays were not rejected")


def _boxed(
    copies: Sequence[Path], box: BoxMask, detector: Detector, parameters: Mapping[str, Any]
) -> tuple[Mapping[str, Any], list[str]]:
    """Mask the box on the copies; the parameters with which the sky is still measured through it.

    Also returns which of the ordinary exposures could not help, in words.

    What fills the box is compared with nothing else there: one or two exposures are helped by the
    ordinary ones, before these are masked.
    """
    filling = [path for path in copies if path.name in box.filled_by]
    unread: list[str] = []
    if 0 < len(filling) <= MOST_HELPED and detector.clean_cosmic_rays:
        ordinary = [path for path in copies if path not in filling][:MOST_OTHERS]
        pairs = [[str(path), quality_file(path).name] for path in ordinary]
        unread = flag_cosmic_rays(filling, pairs, detector)
    mask_boxes(copies, box)
    asked = str(parameters.get("sky_bits") or "")
    bits = str(BOX_FLAG) if asked in {"", "0"} else f"{asked},{BOX_FLAG}"
    return {**parameters, "sky_bits": bits}, unread


def _combined(
    copies: Sequence[Path],
    frame: Frame,
    detector: Detector,
    settings: DrizzleSettings,
    parameters: Mapping[str, Any],
    cores: int,
    adjust_skies: AdjustSkies | None,
) -> tuple[dict[str, NDArray[Any]], Skies, list[str]]:
    """The planes, the sky subtracted from each exposure, and complaints, by the engine in force."""
    model = model_frame(frame, detector)
    if engine_of(settings, parameters) == "astrodrizzle":
        skies, complaints = _run(copies, frame, model, parameters, adjust_skies)
        return _planes(frame), skies, complaints
    heard = _Complaints()
    logging.getLogger().addHandler(heard)
    drizzled = drizzle_directly(
        *(copies, _grid(frame), _grid(model), parameters),
        cores=cores,
        adjust_skies=adjust_skies,
    )
    return drizzled.planes, drizzled.skies, sorted(set(heard.heard))


def _run(
    copies: Sequence[Path],
    frame: Frame,
    model: Frame,
    parameters: Mapping[str, Any],
    adjust_skies: AdjustSkies | None,
) -> tuple[Skies, list[str]]:
    """Call AstroDrizzle; return the sky subtracted from each exposure, and its complaints."""
    skies: Skies = {}
    subtract = drizzlepac_sky.subtractSky

    def subtract_and_note(images: list[Any], *args: Any, **options: Any) -> None:
        subtract(images, *args, **options)
        if adjust_skies is not None:
            adjust_skies(images)
        for image in images:
            skies[image._filename] = {  # noqa: SLF001 - no other way to ask
                chip: float(image[image.scienceExt, chip].subtractedSky or 0.0)
                for chip in range(1, image._numchips + 1)  # noqa: SLF001
            }

    # The sky's level is in no file that AstroDrizzle leaves.
    drizzlepac_sky.subtractSky = subtract_and_note
    complaints = _Complaints()
    logging.getLogger().addHandler(complaints)
    grid = _grid(frame)
    astrodrizzle.AstroDrizzle(
        [str(path) for path in copies],
        output=_OUTPUT,
        build=False,
        context=True,
        preserve=False,
        clean=False,
        num_cores=1,
        in_memory=_fits_in_memory(copies, model),
        driz_sep_wcs=True,
        driz_sep_refimage=_grid(model),
        final_wcs=True,
        final_refimage=grid,
        **parameters,
    )
    return skies, sorted(set(complaints.heard))


def _grid(frame: Frame) -> Any:
    """The frame as drizzlepac has WCSs.

    The exact grid is only kept when given as a WCS: from scale and rotation AstroDrizzle would
    derive it from the first chip's, with rounding.
    """
    return build_hstwcs(
        frame.ra_deg,
        frame.dec_deg,
        float(frame.crpix1),
        float(frame.crpix2),
        frame.nx,
        frame.ny,
        frame.scale_arcsec,
        frame.orientation_deg,
    )


def _fits_in_memory(copies: Sequence[Path], frame: Frame) -> bool:
    """Whether the separate images (SCI, WHT) and the copies are small enough to be held."""
    native = sum(path.stat().st_size for path in copies) / 4
    return 2.0 * len(copies) * frame.nx * frame.ny + native < _IN_MEMORY_PIXELS


def _planes(frame: Frame) -> dict[str, NDArray[Any]]:
    """SCI, WHT and CTX from the files AstroDrizzle left; `_drc`, `_drz` or `_drw` as it likes."""
    planes = {}
    for plane, kind in (("SCI", np.float32), ("WHT", np.float32), ("CTX", np.int32)):
        found = sorted(Path().glob(f"{_OUTPUT}*_{plane.lower()}.fits"))
        if len(found) != 1:
            raise ToolFailed(f"AstroDrizzle left {len(found)} {plane} images instead of one")
        with fits.open(found[0], memmap=False) as hdus:
            if plane == "SCI":
                _verify_grid(hdus[0].header, frame)
            planes[plane] = np.array(hdus[0].data, dtype=kind)
    for plane, data in planes.items():
        if data.shape[-2:] != frame.shape:
            raise ToolFailed(f"{plane} has the shape {data.shape}, not {frame.shape}")
    return planes


def _blank_without_weight(planes: Mapping[str, NDArray[Any]]) -> None:
    """Beside bad pixels the lobes of lanczos3 add up to negative weights: no value there."""
    useless = ~(planes["WHT"] > 0)
    planes["SCI"][useless] = np.nan
    planes["WHT"][useless] = 0.0


def _verify_grid(header: fits.Header, frame: Frame) -> None:
    """Compare the product's WCS with the frame asked for, at the corners: to 1e-3 pixel."""
    corners = np.array([[0, 0], [frame.nx - 1, 0], [0, frame.ny - 1], [frame.nx - 1, frame.ny - 1]])
    sky = WCS(header, naxis=2).wcs_pix2world(corners, 0)
    offset = float(np.abs(frame.wcs.wcs_world2pix(sky, 0) - corners).max())
    if not offset < 1e-3:
        raise ToolFailed(f"AstroDrizzle's grid is {offset:.4f} pixel off the requested one")


def _checked(
    planes: Mapping[str, NDArray[Any]],
    copies: Sequence[Path],
    inputs: Sequence[Input],
    detector: Detector,
    frame: Frame,
    settings: DrizzleSettings,
    parameters: Mapping[str, Any],
    complaints: list[str],
    searched: int,
) -> dict[str, Any]:
    """Check the product against its exposures; numbers for the report.

    `searched` has the flags of cosmic rays that were looked for.
    """
    sci, wht = planes["SCI"], planes["WHT"]
    outlines = [outline for path in copies for outline in exposure_outlines(path)]
    inside = product_quality.footprint_mask(frame, outlines)
    bad = product_quality.bad_fraction(sci, wht, inside)
    if not np.any(np.isfinite(sci) & (wht > 0)):
        raise ToolFailed("no pixel of the product has any weight")
    exptime = sum(item.exptime_s for item in inputs)
    chips, flagged = _native_chips(copies, inputs, detector, searched)
    # WFPC2's PC has pixels of half the size.
    native = min(detector.pixel_scale_arcsec, *(pixel_scale_arcsec(chip.wcs) for chip in chips))
    complaints = complaints + product_quality.weight_problems(
        wht,
        inside,
        exptime_s=exptime,
        area_ratio=(frame.scale_arcsec / native) ** 2,
        pixfrac=parameters["final_pixfrac"],
        weight_type=parameters["final_wht_type"],
        kernel=parameters["final_kernel"],
    )
    rate = sci if settings.units == "cps" else sci / np.float32(exptime)
    flux = product_quality.flux_ratio(rate, wht, frame, chips, detector=detector)
    complaints += product_quality.cosmic_ray_problems(flagged)
    complaints += product_quality.lost_star_problems(flux, wht, frame, chips, detector=detector)
    return {
        "inputs": [item.rootname for item in inputs],
        "exptime_s": exptime,
        "cosmic_ray_fraction": flagged if searched else None,
        "bad_fraction": round(bad, 6),
        "weight_max": round(float(wht.max()), 3),
        "flux_ratio": None if flux.ratio is None else round(flux.ratio, 5),
        "n_flux_stars": flux.n_stars,
        "complaints": complaints,
        "mjd_start": min(item.start_mjd for item in inputs),
        "mjd_end": max(item.end_mjd for item in inputs),
    }


def _native_chips(
    copies: Sequence[Path],
    inputs: Sequence[Input],
    detector: Detector,
    searched: int,
) -> tuple[list[product_quality.Chip], float]:
    """The exposures' chips for comparison, and the share of good pixels with the flags searched."""
    chips = []
    n_flagged = n_pixels = 0
    for path, item in zip(copies, inputs, strict=True):
        quality = Path(quality_file(path).name)
        with fits.open(path, memmap=False) as hdus, fits.open(quality, memmap=False) as other:
            seconds = 1.0 if detector.rate_units else item.exptime_s
            for sci, dq in science_and_quality(hdus, hdus if quality == path else other):
                good = good_pixels(dq.data & ~(_COSMIC_RAY | searched), detector)
                n_flagged += int(np.count_nonzero((dq.data & searched > 0) & good))
                n_pixels += int(np.count_nonzero(good))
                wcs = WCS(sci.header, fobj=hdus, naxis=2)
                chips.append(
                    product_quality.Chip(
                        rate=(sci.data / seconds).astype(np.float32),
                        good=good,
                        wcs=wcs,
                        # The registry's, not IDCSCALE, by which the product was made.
                        nominal_area_arcsec2=detector.flat_scale_arcsec(sci.header) ** 2,
                        rootname=item.rootname,
                    )
                )
    return chips, round(n_flagged / max(n_pixels, 1), 6)


def _write(
    path: Path, planes: Mapping[str, NDArray[Any]], headers: Mapping[str, Any], preview: Path
) -> None:
    """Write the product with checksums, and its preview; it must be legal FITS."""
    hdus = fits.HDUList([fits.PrimaryHDU(header=headers["PRIMARY"])])
    for plane, data in planes.items():
        # In the file's byte order: astropy would swap these bytes in place and back, under the eyes
        # of the process that checks the same memory.
        stored = data.astype(data.dtype.newbyteorder(">"))
        hdus.append(fits.ImageHDU(stored, header=headers[plane], name=plane, ver=1))
    hdus.verify("exception")
    for hdu in hdus:
        hdu.add_checksum(when="HDU checksum")  # astropy's own comment would hold the time
    hdus.writeto(path, output_verify="exception")
    write_preview(path, preview)

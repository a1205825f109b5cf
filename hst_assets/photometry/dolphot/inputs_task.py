"""What runs in child processes: one exposure, or the reference, made ready for DOLPHOT."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from hst_assets.astrometry.working_copy import WorkingCopy
from hst_assets.detection.image_planes import read_wcs, reference_plane
from hst_assets.detection.lacosmic import lacosmic
from hst_assets.detectors import DETECTORS, Detector
from hst_assets.exposures.header import exposure_times
from hst_assets.exposures.keywords import number, text
from hst_assets.exposures.planes import chips_with_data
from hst_assets.exposures.units import unit_fault
from hst_assets.failures import HstAssetsError, UnusableInput
from hst_assets.imaging.cosmic_rays import science_and_quality
from hst_assets.machine.failures import machine_failure
from hst_assets.photometry.dolphot import c_tools
from hst_assets.photometry.dolphot.chips import (
    chip_cards,
    joined_header,
    position_on_chip,
    write_chip,
)
from hst_assets.photometry.dolphot.detector_rules import RULES, MaskRules, ReadMode, read_mode
from hst_assets.photometry.dolphot.masks import MaskedImage, mask_chip, mask_drizzled
from hst_assets.photometry.dolphot.pixel_area import (
    has_distortion,
    map_of_file,
    pixel_areas,
    subarray_offset,
)
from hst_assets.photometry.dolphot.sky import SkyParameters, sky_map
from hst_assets.settings import DolphotInputsSettings

__all__ = ["NOT_COUNTED", "OFF_TARGET", "prepare", "prepare_exposure", "prepare_reference"]

OFF_TARGET = "does not hold the target"
#: Numbers of pixels that nobody counted.
NOT_COUNTED = -1
_ROUNDS = 4
#: For an image of no detector that is known: as of most cameras.
_ANY_SKY = (15, 35, 4, 2.25, 2.0)

_Row = dict[str, Any]


def _compile() -> None:
    """Measure the sky of a few pixels: what that compiles is then there for all."""
    for step in (1, -1):
        sky_map(np.zeros((2, 2)), SkyParameters(0, 1, step, 2.0, 2.0), min_value=-1, max_value=1)


# In the process from which all calls are forked; each would take 0.7 s for it otherwise.
_compile()


def prepare(
    image: str,
    output: str,
    *,
    detector: str,
    position: Sequence[float] | None,
    settings: Mapping[str, Any],
) -> list[_Row]:
    """Prepare an exposure for DOLPHOT, or the reference if `detector` is empty."""
    if not detector:
        return prepare_reference(image, output, settings=settings)
    return prepare_exposure(image, output, detector=detector, position=position, settings=settings)


def prepare_exposure(
    exposure: str,
    output: str,
    *,
    detector: str,
    position: Sequence[float] | None,
    settings: Mapping[str, Any],
) -> list[_Row]:
    """Mask an aligned exposure, split it into chips and measure their sky.

    Parameters
    ----------
    exposure : str
        The aligned exposure; only read.
    output : str
        An existing folder, in which ``<stem>.chipN.fits`` and ``<stem>.chipN.sky.fits`` are left.
    detector : str
        Key of its row.
    position : sequence of float or None
        RA and Dec of the target, degrees; None if it has none: then all chips are made.
    settings : mapping
        Section dolphot_inputs.

    Returns
    -------
    list of dict
        A row for each chip, see `hst_assets.photometry.dolphot.inputs.INPUT_COLUMNS`.

    Raises
    ------
    UnusableInput
        If the file is damaged, or what it holds does not fit together.
    """
    how = DolphotInputsSettings.model_validate(settings)
    row = DETECTORS[detector]
    copy = WorkingCopy.at(Path(exposure))
    with _readable(copy.science), ExitStack() as stack:
        hdus = stack.enter_context(fits.open(copy.science, memmap=False))
        quality = hdus
        if copy.quality != copy.science:
            quality = stack.enter_context(fits.open(copy.quality, memmap=False))
        chips = _Chips(hdus, quality, Path(output), copy, row, how)
        rows = [chips.looked_at(n, sci, position) for n, (sci, _) in enumerate(chips.pairs, 1)]
        wanted = [each for each in rows if each["used"]]
        if how.programs == "dolphot" and wanted:
            chips.run_programs(len(rows))
        for each in wanted:
            each.update(chips.made(each["chip"]))
        return rows


class _Chips:
    """The chips of an open exposure, and where they go."""

    def __init__(
        self,
        hdus: fits.HDUList,
        quality: fits.HDUList,
        folder: Path,
        copy: WorkingCopy,
        detector: Detector,
        how: DolphotInputsSettings,
    ) -> None:
        self.hdus, self.folder, self.copy = hdus, folder, copy
        self.detector, self.how = detector, how
        self.rules = RULES[detector.key]
        self.primary = hdus[0].header
        self.exptime_s = number(self.primary, "EXPTIME")
        if not self.exptime_s > 0:
            raise UnusableInput(f"EXPTIME is {self.exptime_s:g} s")
        start, end, _ = exposure_times(self.primary)
        self.mjd = (start + end) / 2
        self.pairs = list(science_and_quality(hdus, quality, where=copy.quality))
        if not self.pairs:
            raise UnusableInput("no SCI extension")
        self.filled = chips_with_data([sci for sci, _ in self.pairs])

    def path(self, chip: int) -> Path:
        return self.folder / f"{self.copy.science.stem}.chip{chip}.fits"

    def looked_at(self, chip: int, sci: Any, position: Sequence[float] | None) -> _Row:
        """The row of a chip before anything is made of it."""
        shape: Any = getattr(sci, "shape", ())
        flags = self.pairs[chip - 1][1]
        if len(shape) != 2 or getattr(flags, "shape", ()) != shape:
            raise UnusableInput(
                f"SCI,{sci.ver} has the shape {shape}, its data quality {flags.shape}"
            )
        if fault := unit_fault(sci.header, self.detector):
            raise UnusableInput(f"SCI,{sci.ver}: {fault}")
        x, y, inside = np.nan, np.nan, False
        if position is not None:
            x, y, inside = position_on_chip(read_wcs(sci.header, self.hdus), shape, *position)
        reason = ""
        if sci not in self.filled:
            reason = "holds no data"
        elif position is not None and not inside and not self.how.include_all_splits:
            reason = OFF_TARGET
        return _row(chip, self.detector, exptime_s=self.exptime_s, mjd=self.mjd, reason=reason) | {
            "x": _finite(x),
            "y": _finite(y),
            "contains_target": inside,
        }

    def run_programs(self, n_chips: int) -> None:
        """DOLPHOT's mask and split on a copy."""
        copies = []
        for path in self.copy.files:
            shutil.copyfile(path, self.folder / path.name)
            copies.append(self.folder / path.name)
        c_tools.masked_and_split(
            copies,
            self.rules.program,
            self.rules.tag,
            n_chips=n_chips,
            options=self._of_subarray(),
        )

    def _of_subarray(self) -> tuple[str, ...]:
        """What ``wfc3mask`` must be told of a subarray: it knows some by name only."""
        header = self.pairs[0][0].header
        if self.pairs[0][0].shape == self.detector.full_shape or self.rules.tag != "DOL_WFC3":
            return ()
        chip = self.rules.chip_tag(header, self.detector)
        x, y = subarray_offset(header)
        return (f"-{f'uvis{chip}' if chip else 'ir'}sub={x},{y}",)

    def made(self, chip: int) -> _Row:
        """Write a chip and its sky; what its row says of them."""
        sky = SkyParameters(*self.how.sky[self.detector.key])
        path = self.path(chip)
        if self.how.programs == "dolphot":
            return _of_programs(path, sky)
        sci, flags = self.pairs[chip - 1]
        areas, noted = self._areas(sci)
        struck = None
        if self.how.add_crmask and self.detector.clean_cosmic_rays:
            ignored = (flags.data & (self.rules.bad | self.rules.saturated)) != 0
            ignored |= ~np.isfinite(sci.data)
            filled = np.where(np.isfinite(sci.data), sci.data, 0).astype(np.float32)
            struck, _ = lacosmic(filled, ignored, self.detector, rounds=_ROUNDS)
        masked = mask_chip(
            sci.data,
            flags.data,
            areas,
            self.primary if self.rules.last_is_bad else sci.header,
            self.rules,
            struck=struck,
            seconds=self.exptime_s if self.detector.rate_units else 1.0,
        )
        number_of_chip = self.rules.chip_tag(sci.header, self.detector)
        mode = read_mode(
            self.primary, self.detector, chip=number_of_chip if self.rules.numbered else 0
        )
        cards = chip_cards(
            masked,
            mode,
            exptime_s=self.exptime_s,
            mjd=self.mjd,
            tag=(self.rules.tag, number_of_chip),
            offset=subarray_offset(sci.header),
        )
        written = _written(path, masked, joined_header(self.primary, sci.header), cards, sky, mode)
        return written | {"note": "; ".join(filter(None, (noted, masked.note)))}

    def _areas(self, sci: Any) -> tuple[Any, str]:
        """Pixel areas, and what is to be said of them."""
        rules, shape = self.rules, sci.shape
        named = self.how.pixel_area_maps
        tag = rules.chip_tag(sci.header, self.detector)
        file = named.get(f"{self.detector.key}.{tag}") or named.get(self.detector.key)
        if file is not None:
            return map_of_file(file, shape, offset=subarray_offset(sci.header)), ""
        unit = None if rules.unit_at_centre else self.detector.flat_scale_arcsec(sci.header)
        noted = "" if has_distortion(sci.header) else "no distortion in the header"
        return pixel_areas(sci.header, shape, unit_arcsec=unit), noted


def prepare_reference(image: str, output: str, *, settings: Mapping[str, Any]) -> list[_Row]:
    """Mask the drizzled reference and measure its sky.

    Parameters
    ----------
    image : str
        SCI with WHT, or an image alone; only read.
    output : str
        As of `prepare_exposure`; the reference is chip 1.
    settings : mapping
        Section dolphot_inputs.

    Returns
    -------
    list of dict
        One row.

    Raises
    ------
    UnusableInput
        If the file is damaged, or has no image with a celestial WCS.
    """
    how = DolphotInputsSettings.model_validate(settings)
    source = Path(image)
    path = Path(output) / f"{source.stem}.chip1.fits"
    with _readable(source):
        plane = reference_plane(source)
        primary, science = _headers(source, plane.data.shape)
        header = joined_header(primary, science)
        detector = _detector_of(header)
        exptime_s = number(header, "EXPTIME", 0.0)
        if not exptime_s > 0:
            raise UnusableInput(f"EXPTIME is {exptime_s:g} s")
        mjd = _middle(header)
        row = _row(1, detector, exptime_s=exptime_s, mjd=mjd, reason="")
        rules = None if detector is None else RULES[detector.key]
        sky = SkyParameters(*(_ANY_SKY if detector is None else how.sky[detector.key]))
        if how.programs == "dolphot":
            return [row | _reference_by_programs(source, path, rules, sky)]
        per_second, unit_noted = _is_rate(header)
        notes = [unit_noted, "" if mjd else "no EXPSTART and EXPEND: its time is not known"]
        scale = 1.0 if rules is None else rules.flux_scale
        masked = mask_drizzled(
            plane.data, ~plane.bad, factor=(exptime_s if per_second else 1.0) / scale
        )
        n_combined = max(int(number(header, "NCOMBINE", 1)), 1)
        mode = _mode_of_reference(header, detector, n_combined)
        cards = chip_cards(
            masked,
            mode,
            exptime_s=exptime_s,
            mjd=mjd or 0.0,
            tag=None if rules is None else (rules.tag, rules.tag_of_drizzled),
            n_combined=n_combined,
        )
        written = _written(path, masked, header, cards, sky, mode)
        return [row | written | {"note": "; ".join(filter(None, notes))}]


def _mode_of_reference(header: fits.Header, detector: Detector | None, n_combined: int) -> ReadMode:
    if detector is None:
        return ReadMode(1.0, 0.0)
    try:
        return read_mode(header, detector, n_combined=n_combined)
    except UnusableInput:  # exposures of several gains have none in common
        return ReadMode(detector.gain_e_per_dn, detector.read_noise_e * np.sqrt(n_combined))


def _reference_by_programs(
    source: Path, path: Path, rules: MaskRules | None, sky: SkyParameters
) -> _Row:
    if rules is None:
        raise UnusableInput(
            "DOLPHOT's programs mask images of ACS, WFC3 and WFPC2 only",
            next_step="Set dolphot_inputs.programs = 'own'",
        )
    copy = path.with_name(source.name)
    shutil.copyfile(source, copy)
    c_tools.masked_and_split([copy], rules.program, rules.tag, n_chips=1, drizzled=True)
    return _of_programs(path, sky)


def _headers(path: Path, shape: tuple[int, ...]) -> tuple[fits.Header, fits.Header]:
    with fits.open(path, memmap=False) as hdus:
        science = [hdu for hdu in hdus if hdu.name == "SCI"]
        for hdu in [*science, *hdus]:
            if getattr(hdu, "is_image", False) and getattr(hdu, "shape", ()) == shape:
                return hdus[0].header.copy(), hdu.header.copy()
    raise UnusableInput("no image in it")


def _detector_of(header: fits.Header) -> Detector | None:
    """The row of the detector that a drizzled image is of; None if it is of none that is known."""
    instrument, name = (text(header, key, "") for key in ("INSTRUME", "DETECTOR"))
    key = "wfpc2" if instrument == "WFPC2" else f"{instrument}_{name}".lower()
    return DETECTORS.get(key)


def _is_rate(header: fits.Header) -> tuple[bool, str]:
    """Whether pixels are per second; DOLPHOT takes it for granted, as it is in MAST's images."""
    unit = text(header, "BUNIT", "").upper().replace(" ", "")
    if not unit:
        return True, "no BUNIT: taken for counts per second"
    return unit.endswith(("/S", "/SEC", "S-1", "S**-1", "S^-1", "CPS")), ""


# ------------------------------------------------------------------------------- the files


def _written(
    path: Path,
    masked: MaskedImage,
    header: fits.Header,
    cards: Mapping[str, tuple[Any, str]],
    parameters: SkyParameters,
    mode: ReadMode,
) -> _Row:
    sky = sky_map(masked.data, parameters, min_value=masked.min_value, max_value=masked.max_value)
    write_chip(path, masked.data, header, cards)
    write_chip(path.with_name(f"{path.stem}.sky.fits"), sky, header, cards)
    return {
        "n_bad": masked.n_bad,
        "n_saturated": masked.n_saturated,
        "n_cosmic_ray": masked.n_cosmic_ray,
        "sky_median": float(np.median(sky)),
        "min_value": masked.min_value,
        "max_value": masked.max_value,
        "read_noise_e": mode.read_noise_e,
        "gain": mode.gain,
    }


def _of_programs(path: Path, parameters: SkyParameters) -> _Row:
    """What a row says of files that DOLPHOT's programs made; they do not tell cosmic rays."""
    sky = c_tools.measured_sky(path, parameters)
    with fits.open(path, memmap=False) as hdus:
        header, data = hdus[0].header, np.asarray(hdus[0].data)
    low, high = number(header, "BADPIX"), number(header, "SATURATE")
    return {
        "n_bad": int((~(data > np.float32(low))).sum()),
        "n_saturated": int((data >= np.float32(high)).sum()),
        "n_cosmic_ray": NOT_COUNTED,
        "sky_median": float(np.median(fits.getdata(sky))),
        "min_value": low,
        "max_value": high,
        "read_noise_e": number(header, "RDNOISE", number(header, "RNOISE", 0.0)),
        "gain": number(header, "GAIN"),
    }


def _row(
    chip: int, detector: Detector | None, *, exptime_s: float, mjd: float | None, reason: str
) -> _Row:
    return {
        "chip": chip,
        "instrument": "" if detector is None else detector.instrument,
        "detector": "" if detector is None else detector.detector,
        "exptime_s": exptime_s,
        "mjd": mjd,
        "x": None,
        "y": None,
        "contains_target": False,
        "used": not reason,
        "reason": reason,
        "note": "",
        "n_bad": NOT_COUNTED,
        "n_saturated": NOT_COUNTED,
        "n_cosmic_ray": NOT_COUNTED,
        "sky_median": None,
        "min_value": None,
        "max_value": None,
        "read_noise_e": None,
        "gain": None,
    }


def _middle(header: Mapping[str, Any]) -> float | None:
    """The middle of all exposures of a drizzled image, MJD; None if it does not tell."""
    start, end = (number(header, key, 0.0) for key in ("EXPSTART", "EXPEND"))
    return (start + end) / 2 if start and end else None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Errors of the reader of a damaged file, in our vocabulary; those of the machine as they are.

    A file that was cut short is read by astropy with a mere warning.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="File may have been truncated")
        try:
            yield
        except HstAssetsError as error:
            if error.where is not None or machine_failure(error) is not None:
                raise
            raise type(error)(error.what, where=path.name, next_step=error.next_step) from error
        except (OSError, MemoryError) as error:
            if machine_failure(error) is not None or getattr(error, "errno", None) is not None:
                raise
            raise UnusableInput(f"the file is damaged: {error}", where=path.name) from error
        except (AstropyUserWarning, fits.VerifyError, KeyError, TypeError, ValueError) as error:
            raise UnusableInput(f"the file is damaged: {error}", where=path.name) from error

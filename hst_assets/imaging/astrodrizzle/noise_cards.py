"""Cards that tell the noise of a product: gain, read noise, and what light was subtracted.

Calibration takes dark current and post-flash off the image and writes their mean level to the
header; their noise stays. The levels are not in the unit of the image everywhere: calwf3, and
calacs before its version 8 (2012), subtract them before they multiply by the gain, so that
MEANDARK and MEANFLSH are in DN (doDark and doFlash of hstcal). Where the header does not tell the
level of the dark current (WFPC2), it is the detector's typical one; DARKFROM and RDNFROM tell where
the figures are from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from astropy.io import fits

from hst_assets.detectors import WFPC2_READ_MODES, Detector
from hst_assets.exposures.keywords import is_missing
from hst_assets.exposures.photometry import MIXED
from hst_assets.exposures.ramps import ramp_times_s, ramp_variance_e2
from hst_assets.imaging.noise import background_variance_e2

if TYPE_CHECKING:
    from hst_assets.imaging.astrodrizzle.input_headers import Input

__all__ = ["describe_noise", "flash_problems", "mean_sky"]

#: Sky subtracted from each chip (EXTVER) of each exposure (file name), native units.
Skies = Mapping[str, Mapping[int, float]]

#: From this version on calacs works in electrons throughout.
_CALACS_IN_ELECTRONS = 8
_MOST_INPUT_CARDS = 999
#: DARKFROM and RDNFROM where it is the figure of the detector's row.
_TYPICAL = "TYPICAL"
#: A ramp has its zeroth read and one more.
_FEWEST_SAMPLES = 2


@dataclass(frozen=True)
class _Noise:
    """What one chip of one exposure has of it; all but the first per pixel, in electrons.

    The last two tell where dark current and read noise are from.
    """

    gain_e: float
    saturation_e: float
    read_noise_e: float
    sky_e: float
    dark_e: float
    post_flash_e: float
    dark_from: str
    read_noise_from: str


def describe_noise(
    primary: fits.Header,
    inputs: Sequence[Input],
    detector: Detector,
    skies: Skies,
    *,
    gain_e: float | None = None,
) -> None:
    """Write what the noise of a product can be reckoned from (`hst_assets.imaging.noise`).

    Parameters
    ----------
    primary : `~astropy.io.fits.Header`
        The product's; it is changed.
    inputs : sequence of Input
        What was combined.
    detector : Detector
        Of all of them.
    skies : mapping
        By file name and EXTVER, the sky that was subtracted, in native units.
    gain_e : float, optional
        Electrons in one count of SCI, where the exposures' own header does not tell it.
    """
    chips = [(item, chip) for item in inputs for chip in item.chips or (item.science,)]
    found = [_noise_of(item, chip, detector, skies, gain_e) for item, chip in chips]
    times = [item.exptime_s for item, _ in chips]
    squares = [each.read_noise_e**2 for each in found]
    darks = [each.dark_e / time for each, time in zip(found, times, strict=True)]
    flashes = [each.post_flash_e for each in found]
    primary["GAIN"] = (found[0].gain_e, "electrons in one count of SCI")
    primary["RDNOISE"] = (round(math.sqrt(_mean(squares)), 4), "of one exposure (e)")
    primary["RDNFROM"] = (_one_of(each.read_noise_from for each in found), "what tells RDNOISE")
    primary["DARKCUR"] = (round(max(_mean(darks), 0.0), 6), "e/s in a native pixel")
    primary["DARKFROM"] = (_one_of(each.dark_from for each in found), "what tells DARKCUR")
    primary["POSTFLSH"] = (round(_mean(flashes), 4), "subtracted from an exposure (e)")
    primary["SKYMEAN"] = (
        mean_sky(skies, inputs, detector) or 0.0,
        "sky subtracted (count/s, native pixel)",
    )
    primary["SATRATE"] = (
        min(each.saturation_e / time for each, time in zip(found, times, strict=True)),
        "saturates the first native pixels (e/s)",
    )
    for number, each in enumerate(found[:_MOST_INPUT_CARDS], start=1):
        variance = background_variance_e2(
            sky_e=each.sky_e,
            dark_e=each.dark_e,
            post_flash_e=each.post_flash_e,
            read_noise_e=each.read_noise_e,
        )
        primary[f"D{number:03d}BVAR"] = (round(variance, 4), "empty native pixel (e2)")


def mean_sky(skies: Skies, inputs: Sequence[Input], detector: Detector) -> float | None:
    """Sky of all exposures over their whole time, in native units per second and native pixel.

    The mean is weighted by exposure time, as the pixels are, because that decides the noise of the
    product. None if no sky was measured.
    """
    if not skies:
        return None
    total = sum(
        _mean(list(skies.get(item.file, {}).values()) or [0.0])
        * (item.exptime_s if detector.rate_units else 1.0)
        for item in inputs
    )
    return round(total / sum(item.exptime_s for item in inputs), 6)


def flash_problems(inputs: Sequence[Input]) -> list[str]:
    """Exposures whose post-flash was subtracted, and whose header does not tell its level."""
    unknown = [
        item.rootname
        for item in inputs
        if _number(item.primary, "FLASHDUR") > 0
        and str(item.primary.get("FLSHCORR", "")).strip().upper() == "COMPLETE"
        and not any(_number(chip, "MEANFLSH") > 0 for chip in item.chips or (item.science,))
    ]
    if not unknown:
        return []
    return [
        "errors lack the noise of the post-flash: no MEANFLSH in the header of "
        + ", ".join(unknown)
    ]


def _noise_of(
    item: Input, chip: fits.Header, detector: Detector, skies: Skies, gain_e: float | None
) -> _Noise:
    own_gain = _gain_e(item.primary, detector)
    gain = gain_e or own_gain
    sky = skies.get(item.file, {}).get(int(chip.get("EXTVER", 1)), 0.0)
    sky_e = sky * (item.exptime_s if detector.rate_units else 1.0) * gain
    subtracted = _subtracted_unit_e(item.primary, detector)
    dark_e, dark_from = _dark_e(item, chip, detector, subtracted)
    read_noise, read_noise_from = _read_noise_e(item, detector, sky_e + dark_e)
    return _Noise(
        gain_e=gain,
        saturation_e=_saturation_e(detector, own_gain),
        read_noise_e=read_noise,
        sky_e=sky_e,
        dark_e=dark_e,
        post_flash_e=_post_flash_e(item.primary, chip, subtracted),
        dark_from=dark_from,
        read_noise_from=read_noise_from,
    )


def _dark_e(item: Input, chip: fits.Header, detector: Detector, unit_e: float) -> tuple[float, str]:
    """Electrons of the dark current that was subtracted from a pixel, and what tells them.

    Where it was not subtracted it is in the sky.
    """
    level = chip.get("MEANDARK")
    if not is_missing(level) and isinstance(level, int | float) and math.isfinite(level):
        return float(level) * unit_e, "MEANDARK"
    if str(item.primary.get("DARKCORR", "")).strip().upper() == "OMIT":
        return 0.0, "OMIT"
    return detector.typical_dark_e_per_s * item.exptime_s, _TYPICAL


def _post_flash_e(primary: fits.Header, chip: fits.Header, unit_e: float) -> float:
    """Electrons of the post-flash that was subtracted from a pixel.

    FLASHLVL is what the observer wished for, in electrons: it confirms the unit. Where it is 0
    or absent nothing does, and the level is taken as it is.
    """
    level, wished = _number(chip, "MEANFLSH"), _number(primary, "FLASHLVL")
    if level <= 0 or wished <= 0:
        return max(level, 0.0)
    return min((level, level * unit_e), key=lambda electrons: abs(math.log(electrons / wished)))


def _subtracted_unit_e(primary: fits.Header, detector: Detector) -> float:
    """Electrons in the unit of MEANDARK and MEANFLSH."""
    if detector.instrument == "ACS":
        version = re.match(r"\s*(\d+)", str(primary.get("CAL_VER", "")))
        if version is None or int(version[1]) >= _CALACS_IN_ELECTRONS:
            return 1.0
    elif detector.instrument != "WFC3":
        return 1.0
    gains = _of_amplifiers(primary, "ATODGN")
    return _mean(gains) if gains else 1.0


def _saturation_e(detector: Detector, gain_e: float) -> float:
    """Electrons in a full pixel, read with this gain.

    WFPC2's converter ends at 4095 DN whatever the gain, before a well is full: 27,000 electrons
    at gain 7 (WFPC2 IHB), and 53,000 at gain 15 (IHB 1.1.3; by the ratio of the gains 53,900).
    """
    if not detector.has_separate_dq:
        return detector.saturation_e
    return detector.saturation_e * gain_e / WFPC2_READ_MODES[detector.gain_e_per_dn][0]


def _gain_e(primary: fits.Header, detector: Detector) -> float:
    """Electrons in a count of an exposure."""
    return _wfpc2_mode(primary, detector)[0] if detector.has_separate_dq else 1.0


def _read_noise_e(item: Input, detector: Detector, light_e: float) -> tuple[float, str]:
    """Read noise of an exposure with so many electrons in an empty pixel, and what tells it."""
    measured = _of_amplifiers(item.primary, "READNSE")
    if detector.has_separate_dq:
        told = _number(item.primary, "ATODGAIN") > 0
        return _wfpc2_mode(item.primary, detector)[1], "ATODGAIN" if told else _TYPICAL
    if detector.is_infrared:
        return _ramp_noise_e(item, detector, measured, light_e)
    return (_mean(measured), "READNSE") if measured else (detector.read_noise_e, _TYPICAL)


def _wfpc2_mode(primary: fits.Header, detector: Detector) -> tuple[float, float]:
    nominal = _number(primary, "ATODGAIN") or detector.gain_e_per_dn
    return min(WFPC2_READ_MODES.items(), key=lambda mode: abs(mode[0] - nominal))[1]


def _ramp_noise_e(
    item: Input, detector: Detector, measured: Sequence[float], light_e: float
) -> tuple[float, str]:
    """What reading a ramp adds to the noise of its light; READNSE is for one pair of reads."""
    n_samples = int(_number(item.primary, "NSAMP"))
    if n_samples < _FEWEST_SAMPLES:
        return detector.read_noise_e, _TYPICAL
    one_read_e = _mean(measured) / math.sqrt(2.0) if measured else detector.read_noise_e
    times = ramp_times_s(str(item.primary.get("SAMP_SEQ", "")), n_samples, item.exptime_s)
    light_e = max(light_e, 0.0)
    variance = ramp_variance_e2(
        times, rate_e_per_s=light_e / item.exptime_s, read_noise_e=one_read_e
    )
    return math.sqrt(variance - light_e), "NSAMP"


def _of_amplifiers(primary: fits.Header, keyword: str) -> list[float]:
    """The keyword's values for the amplifiers that were read; 0 says that there is none."""
    read = primary.get("CCDAMP")
    amplifiers = "ABCD" if is_missing(read) else str(read).strip()
    found = [_number(primary, f"{keyword}{amplifier}") for amplifier in amplifiers]
    return [value for value in found if value > 0]


def _number(header: fits.Header, keyword: str) -> float:
    """A finite number, or 0."""
    value = header.get(keyword)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return 0.0
    return float(value)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _one_of(values: Iterable[str]) -> str:
    found = set(values)
    return found.pop() if len(found) == 1 else MIXED

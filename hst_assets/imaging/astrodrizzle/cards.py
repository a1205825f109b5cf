"""Headers of drizzled products: what was combined, how, and what the numbers mean."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from astropy.io import fits
from astropy.time import Time

from hst_assets.detectors import Detector
from hst_assets.exposures.charge import transfer_state
from hst_assets.exposures.keywords import keyword_of
from hst_assets.exposures.keywords import number as number_of
from hst_assets.exposures.photometry import MIXED
from hst_assets.imaging.astrodrizzle.input_headers import PHOTOMETRY, Input, filter_of
from hst_assets.imaging.astrodrizzle.noise_cards import describe_noise
from hst_assets.imaging.correlated_noise import correlation_ratio
from hst_assets.imaging.frames import Frame
from hst_assets.imaging.noise import noise_model
from hst_assets.imaging.product_flags import PRODUCT_FLAGS
from hst_assets.provenance import tool_version
from hst_assets.settings import DrizzleSettings

__all__ = ["RAW_EXTVER", "plane_header", "product_headers"]

#: Cards of an exposure that say nothing about a product, beyond those written here.
_NOT_INHERITED = {
    "",
    "BITPIX",
    "CHECKSUM",
    "COMMENT",
    "CONTINUE",
    "DATASUM",
    "DATE",
    "DATE-OBS",
    "EXTEND",
    "FILENAME",
    "GROUPS",
    "HISTORY",
    "IRAF-TLM",
    "MDRIZSKY",
    "NAXIS",
    "NEXTEND",
    "ORIGIN",
    "ROOTNAME",
    "SIMPLE",
    "TIME-OBS",
}
_MOST_INPUT_CARDS = 999
#: EXTVER that a chip has in raw/, where a copy without the other chip gives it another.
RAW_EXTVER = "RAWEXTV"


def product_headers(
    inputs: Sequence[Input],
    *,
    detector: Detector,
    frame: Frame,
    settings: DrizzleSettings,
    parameters: Mapping[str, Any],
    extra: Mapping[str, Sequence[Any]],
    skies: Mapping[str, Mapping[int, float]] | None = None,
    gain_e: float | None = None,
) -> dict[str, fits.Header]:
    """The headers of a product's HDUs: PRIMARY, SCI, WHT, CTX, ERR and DQ.

    Nothing in them depends on when or where the product was made or how it is called, so that
    the same inputs give the same bytes.

    Parameters
    ----------
    inputs : sequence of Input
        What was combined.
    detector, frame, settings, parameters
        How it was combined.
    extra : mapping
        ``{keyword: [value, comment]}`` to be added to the primary header.
    skies : mapping, optional
        Sky that was subtracted, in native units, by file name and EXTVER.
    gain_e : float, optional
        Electrons in one count of SCI, where the exposures' own header does not tell it.
    """
    primary = _shared_cards([item.primary for item in inputs])
    _describe_time(primary, inputs)
    primary["FILTER"] = (filter_of(inputs[0].primary, detector), "filter")
    if settings.object_name:
        primary["TARGNAME"] = (settings.object_name, "object, as set by the user")
        primary["OBJECT"] = settings.object_name
    photometry = _photometry(inputs, settings)
    for key, (value, comment) in photometry.items():
        primary[key] = (value, comment)
    primary["BUNIT"] = (_units(detector, settings), "units of SCI")
    _describe_inputs(primary, inputs)
    _describe_calibration(primary, inputs, detector)
    _describe_context(primary, inputs, detector)
    describe_noise(primary, inputs, detector, skies or {}, gain_e=gain_e)
    _describe_method(primary, parameters, frame)
    _describe_correlation(primary)
    wcsname = _shared_or(inputs, "WCSNAME", "MIXED")
    primary["WCSNAME"] = (wcsname, "WCS of the exposures")
    if "HIERARCH HST123 ALIGNST" not in extra:
        _describe_alignment(primary, inputs)
    for key, (value, comment) in extra.items():
        _set(primary, key, value, comment)
    science = plane_header(frame, wcsname)
    for key, (value, comment) in photometry.items():
        science[key] = (value, comment)
    science["BUNIT"] = primary["BUNIT"]
    weight, context = plane_header(frame, wcsname), plane_header(frame, wcsname)
    weight["BUNIT"] = _weight_unit(parameters["final_wht_type"])
    context["BUNIT"] = ("UNITLESS", "bit n-1: input n (DnnnDATA)")
    error, flags = plane_header(frame, wcsname), plane_header(frame, wcsname)
    error["BUNIT"] = primary["BUNIT"]
    flags["BUNIT"] = "UNITLESS"
    for flag, meaning in PRODUCT_FLAGS.items():
        flags.add_comment(f"{int(flag)} {flag.name}: {meaning}")
    planes = {"SCI": science, "WHT": weight, "CTX": context, "ERR": error, "DQ": flags}
    return {"PRIMARY": primary, **planes}


def _set(header: fits.Header, key: str, value: Any, comment: str) -> None:
    """Set a card, without its comment where both would not fit into 80 characters."""
    fits_in = not isinstance(value, str) or len(key) + len(value) + len(comment) < 60
    header[key] = (value, comment if fits_in else "")


def _shared_cards(headers: Sequence[fits.Header]) -> fits.Header:
    """The cards that all headers agree on."""
    shared = fits.Header()
    first, *others = headers
    for card in first.cards:
        keyword = card.keyword
        if keyword in _NOT_INHERITED or len(keyword) > 8 or keyword in shared:
            continue
        try:
            value = card.value
            agree = all(keyword in header and header[keyword] == value for header in others)
        except fits.VerifyError:
            continue  # a card that is not FITS is not handed on
        if agree and not isinstance(value, fits.card.Undefined):
            _set(shared, keyword, value, card.comment)
    return shared


def _shared_or(inputs: Sequence[Input], keyword: str, otherwise: str) -> str:
    values = {str(keyword_of(item.science, item.primary, keyword)) for item in inputs}
    return values.pop() if len(values) == 1 else otherwise


def _describe_time(primary: fits.Header, inputs: Sequence[Input]) -> None:
    start = min(item.start_mjd for item in inputs)
    end = max(item.end_mjd for item in inputs)
    exptime = sum(item.exptime_s for item in inputs)
    middle = sum(item.exptime_s * (item.start_mjd + item.end_mjd) / 2.0 for item in inputs)
    date, _, time = Time(start, format="mjd", scale="utc", precision=3).isot.partition("T")
    primary["DATE-OBS"] = (date, "UT date of the first exposure's start")
    primary["TIME-OBS"] = (time, "UT time of the first exposure's start")
    primary["EXPSTART"] = (start, "first exposure's start (MJD, UTC)")
    primary["EXPEND"] = (end, "last exposure's end (MJD, UTC)")
    primary["MJD-AVG"] = (middle / exptime, "mean time, weighted by exposure time (MJD)")
    primary["EXPTIME"] = (exptime, "total exposure time (s)")
    primary["TEXPTIME"] = (exptime, "total exposure time (s)")


def _describe_inputs(primary: fits.Header, inputs: Sequence[Input]) -> None:
    primary["NINPUT"] = (len(inputs), "number of exposures combined")
    primary["NCOMBINE"] = (len(inputs), "number of exposures combined")
    for number, item in enumerate(inputs[:_MOST_INPUT_CARDS], start=1):
        primary[f"INPUT{number:03d}"] = (item.rootname, f"{item.exptime_s:g} s")


def _describe_calibration(
    primary: fits.Header, inputs: Sequence[Input], detector: Detector
) -> None:
    """Losses of charge, and software and tables where the exposures do not agree on them.

    Where they agree, they are among the cards that all of them have.
    """
    states = {transfer_state(item.primary, detector) for item in inputs}
    if states != {""}:
        state = states.pop() if len(states) == 1 else MIXED
        done = "corrected" if state == "COMPLETE" else "not corrected in all exposures"
        primary["PCTECORR"] = (state, f"CTE losses are {done}")
    for keyword, comment in (
        ("CAL_VER", "versions of the calibration software"),
        ("IMPHTTAB", "tables of the zero points"),
        ("GRAPHTAB", "tables of the zero points"),
        ("COMPTAB", "tables of the zero points"),
    ):
        values = {str(item.primary.get(keyword, "")).strip() for item in inputs}
        if len(values) > 1:
            primary[keyword] = (MIXED, comment)


def _describe_context(primary: fits.Header, inputs: Sequence[Input], detector: Detector) -> None:
    """Which chip is which bit of CTX, by the keywords of AstroDrizzle."""
    chips = [(item, chip) for item in inputs for chip in item.chips or (item.science,)]
    for number, (item, chip) in enumerate(chips[:_MOST_INPUT_CARDS], start=1):
        scale = number_of(chip, "IDCSCALE", 0.0) or detector.flat_scale_arcsec(chip)
        extver = chip.get(RAW_EXTVER, chip.get("EXTVER", 1))
        primary[f"D{number:03d}DATA"] = f"{item.rootname}[sci,{extver}]"
        primary[f"D{number:03d}DEXP"] = (item.exptime_s, "exposure time (s)")
        primary[f"D{number:03d}ISCL"] = (round(float(scale), 6), "native pixel (arcsec)")


def _weight_unit(weight_type: str) -> tuple[str, str]:
    if weight_type == "EXP":
        return "s", "exposure time per native pixel"
    return "UNITLESS", f"relative weight ({weight_type})"


def _describe_alignment(primary: fits.Header, inputs: Sequence[Input]) -> None:
    """The guide's keywords as far as the exposures agree, and how many have which verdict."""
    verdicts = Counter(str(item.primary.get("HST123 ALIGNST", "NONE")) for item in inputs)
    for key, comment in (
        ("HST123 ALIGNOK", "all exposures are aligned"),
        ("HST123 ALIGNST", "verdict on the alignment"),
        ("HST123 ALIGNMT", "method"),
        ("HST123 ALIGNRF", "reference"),
    ):
        values = {item.primary.get(key) for item in inputs}
        if values == {None} and not key.endswith(("OK", "ST")):
            continue
        value = values.pop() if len(values) == 1 else "MIXED"
        if key.endswith("OK"):
            value = value is True
        _set(primary, f"HIERARCH {key}", "NONE" if value is None else value, comment)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    _set(primary, "HIERARCH HST123 ALIGNNX", counts, "exposures")


def _describe_method(primary: fits.Header, parameters: Mapping[str, Any], frame: Frame) -> None:
    primary["CREATOR"] = f"hst_assets {tool_version('hst_assets')}"
    primary["PROD_VER"] = f"DrizzlePac {tool_version('drizzlepac')}"
    primary["ASTROPYV"] = (tool_version("astropy"), "astropy's version")
    primary["D_SCALE"] = (frame.scale_arcsec, "pixel scale (arcsec)")
    for key, parameter in (
        ("D_PIXFRC", "final_pixfrac"),
        ("D_KERNEL", "final_kernel"),
        ("D_WTTYPE", "final_wht_type"),
        ("D_UNITS", "final_units"),
        ("D_BITS", "final_bits"),
        ("D_COMBIN", "combine_type"),
        ("D_NHIGH", "combine_nhigh"),
        ("D_CRREJ", "driz_cr"),
        ("D_SKYSUB", "skysub"),
        ("D_SKYMET", "skymethod"),
    ):
        primary[key] = (parameters[parameter], f"AstroDrizzle {parameter}")


def _describe_correlation(primary: fits.Header) -> None:
    """By how much single pixels scatter less than ERR, which is meant for sums, says."""
    model = noise_model(primary)
    ratio = correlation_ratio(model.drop_ratio, model.kernel)
    primary["DROPRAT"] = (round(model.drop_ratio, 6), "side of drop over pixel")
    if ratio is not None:
        primary["NOISCORR"] = (round(ratio, 6), "ERR over scatter of a single pixel")


def _units(detector: Detector, settings: DrizzleSettings) -> str:
    quantity = detector.science_units.removesuffix("/S")
    return f"{quantity}/S" if settings.units == "cps" else quantity


def _photometry(inputs: Sequence[Input], settings: DrizzleSettings) -> dict[str, tuple[Any, str]]:
    """PHOTFLAM and kin of the first exposure, to which all chips were scaled, and zero points.

    The zero points are for SCI as it stands: ``m = ZPAB - 2.5 log10(sum of pixels)``, with
    ``ZPAB = -2.5 log10 PHOTFLAM - 5 log10 PHOTPLAM - 2.408`` and
    ``ZPST = -2.5 log10 PHOTFLAM - 21.1`` for counts per second (ACS Data Handbook, 5.1).
    """
    first = inputs[0]
    found: dict[str, tuple[Any, str]] = {}
    for key in PHOTOMETRY:
        value = keyword_of(first.science, first.primary, key)
        if value is not None and value != "":
            comment = {"PHOTFLAM": "erg/cm2/A/s for 1 unit of SCI per second"}.get(key, "")
            found[key] = (value, comment)
    try:
        flam, pivot = float(found["PHOTFLAM"][0]), float(found["PHOTPLAM"][0])
    except (KeyError, TypeError, ValueError):
        return found
    if not (flam > 0 and pivot > 0):
        return found
    total = sum(item.exptime_s for item in inputs)
    exposed = 0.0 if settings.units == "cps" else 2.5 * math.log10(total)
    ab = -2.5 * math.log10(flam) - 5.0 * math.log10(pivot) - 2.408 + exposed
    st = -2.5 * math.log10(flam) - 21.1 + exposed
    found["ZPAB"] = (round(ab, 5), "AB magnitude of 1 unit of SCI")
    found["ZPST"] = (round(st, 5), "ST magnitude of 1 unit of SCI")
    return found


def plane_header(frame: Frame, wcsname: str) -> fits.Header:
    """What every plane of a product has: its WCS."""
    header = fits.Header()
    header["INHERIT"] = True
    header["WCSAXES"] = 2
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CUNIT1"], header["CUNIT2"] = "deg", "deg"
    header["CRVAL1"], header["CRVAL2"] = frame.ra_deg, frame.dec_deg
    header["CRPIX1"], header["CRPIX2"] = float(frame.crpix1), float(frame.crpix2)
    matrix = frame.wcs.wcs.cd
    for row in (0, 1):
        for column in (0, 1):
            header[f"CD{row + 1}_{column + 1}"] = float(matrix[row, column])
    header["ORIENTAT"] = (frame.orientation_deg, "position angle of the y axis (deg, E of N)")
    header["RADESYS"] = "ICRS"
    header["WCSNAME"] = wcsname
    return header

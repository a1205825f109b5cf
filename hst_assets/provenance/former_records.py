"""Records of format 1, from before records had a number: what they say in today's form.

A recipe of format 1 held whole sections of the settings with all their defaults, and no figure of
the detectors. Both are known (`hst_assets.provenance.former_values`). What such a record says is so
put into the form of format 2, and compared with what is asked for today; its digest stays, for
products downstream, headers and Dagster know it.

Two changes of the drizzling's code had left its version at "3": the gains of WFPC2's chips, and the
header cards from which the noise is reckoned. Both can be seen in the header of a product. One that
has them is of version "4"; one that has not stays "3", and is made again.

The gate's probability of so many stars by chance was wrong where more than 745 were expected, and
so refused fits in crowded fields. An alignment in which no try came so far is of version "4" as it
is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hst_assets.digests import digest_of
from hst_assets.provenance.former_values import (
    DETECTOR_FIGURES,
    DRIZZLE_OF_MORE,
    DRIZZLE_OF_ONE,
    SECTIONS,
)

__all__ = ["is_former", "translated"]

_Json = dict[str, Any]

_OF_TABLES = ("full_shape", "n_chips", "pixel_scale_arcsec")
_OF_ALIGNMENT = (
    *("clean_cosmic_rays", "dq_bad", "dq_cosmic_ray", "dq_saturated", "full_shape", "fwhm_pix"),
    *("gain_e_per_dn", "lacosmic", "match_tolerance_pix", "n_chips", "pixel_scale_arcsec"),
    *("read_noise_e", "saturation_e"),
)
_OF_IMAGES = (
    *("clean_cosmic_rays", "dq_saturated", "driz_cr_scale", "driz_cr_snr", "drizzle_good_bits"),
    *("drizzle_scale_arcsec", "full_shape", "fwhm_pix", "gain_e_per_dn", "lacosmic", "n_chips"),
    *("pixel_scale_arcsec", "rate_units", "read_modes", "read_noise_e", "saturation_e"),
    "science_units",
)
_OF_DIFFERENCES = (
    *("clean_cosmic_rays", "fwhm_pix", "pixel_scale_arcsec", "read_noise_e", "saturation_e"),
    "science_units",
)
_DETECTOR_IN_NAME = re.compile(rf"(?:^|\.)({'|'.join(DETECTOR_FIGURES)})\.")
#: Instrument letter of a rootname and suffix of a file, which tell the detector.
_DETECTOR_OF_FILE = {
    ("i", "flc"): "wfc3_uvis",
    ("i", "flt"): "wfc3_ir",
    ("j", "flc"): "acs_wfc",
    ("j", "flt"): "acs_hrc",
    ("u", "c0m"): "wfpc2",
}
_DRIZZLED = "drizzled_image"
_EXPOSURE = "aligned_exposure"
_REFERENCE = "reference_image"
#: Above this the former sum over the Poisson distribution ran out of floating-point numbers.
_MOST_EXPECTED = 745.0
_NOISE_CARDS = ("RDNOISE", "DARKCUR", "SKYMEAN", "D001DEXP", "D001ISCL")
#: GAIN of WFPC2's products while the chips' gains were counted wrongly.
_GAINS_OF_A_MODE = (7.06, 14.1)


def is_former(content: Any) -> bool:
    """Whether a record's content is of format 1."""
    return isinstance(content, dict) and "recipe" in content and "format" not in content


def translated(content: _Json, product: Path) -> _Json:
    """A record of format 1 in the form of format 2.

    Its digest stays, unless it was drizzled by code that cannot be known to be today's.

    Parameters
    ----------
    content : dict
        The record's JSON.
    product : `~pathlib.Path`
        Beside which it lies: its name tells the detector, its header what code made it.

    Raises
    ------
    ValueError
        If it is not such a record.
    """
    try:
        recipe, facts = content["recipe"], content["facts"]
        stage, version = str(recipe["stage"]), str(recipe["code_version"])
        entry: _Json = {
            "stage": stage,
            "code": {stage: version},
            "inputs": dict(recipe["inputs"]),
            "settings": dict(recipe["settings"]),
            "detectors": {},
            "tools": dict(recipe["tools"]),
        }
        in_force = entry["settings"]
        if stage in _STAGES:
            in_force = _STAGES[stage](entry, product, facts)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a record of format 1: {error!r}") from error
    digest = content["digest"]
    if any(entry["code"].get(name) == "3" for name in (_DRIZZLED, _EXPOSURE, _REFERENCE)):
        digest = digest_of(entry)  # that of the record stands for what today's code makes
    return {**content, "format": 2, "digest": digest, "recipe": entry, "settings": in_force}


def _version_of_alignment(version: str, *, may_be_wrong: bool) -> str:
    """Version "4" for what "3" aligned as today's code does."""
    return "4" if version == "3" and not may_be_wrong else version


def _without(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> _Json:
    kept: _Json = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            inner = _without(value, defaults.get(key) or {})
            if inner:
                kept[key] = inner
        elif key not in defaults or json.dumps(value) != json.dumps(defaults[key]):
            kept[key] = value
    return kept


def _put(entry: _Json, in_force: _Json, defaults: Mapping[str, Any]) -> _Json:
    """Let a recipe have the settings that were not the defaults; return all of them."""
    entry["settings"] = _without(in_force, defaults)
    return in_force


def _rows(keys: Any, names: tuple[str, ...]) -> _Json:
    return {
        key: {
            name: DETECTOR_FIGURES[key][name]
            for name in sorted(names)
            if name in DETECTOR_FIGURES[key]
        }
        for key in sorted(keys)
    }


def _detector_named_by(product: Path) -> str:
    return str(_DETECTOR_IN_NAME.findall(product.name)[-1])


def _detector_of_file(name: str) -> str | None:
    return _DETECTOR_OF_FILE.get((name[0], name.partition(".")[0][-3:]))


def _exposure_table(entry: _Json, product: Path, facts: Mapping[str, Any]) -> _Json:
    del facts
    visit = product.name.partition("_")[0]
    try:
        manifest = product.with_name(f"{visit}_raw.ecsv.provenance.json")
        kinds = json.loads(manifest.read_bytes())["facts"]["kinds"]
    except (OSError, ValueError, KeyError):
        kinds = {}  # then nothing tells its detectors, and it is made again
    found = {_DETECTOR_OF_FILE.get((visit[0], kind)) for kind in kinds} - {None}
    entry["detectors"] = _rows(found, _OF_TABLES)
    return _put(entry, entry["settings"], {**SECTIONS, "overrides": []})


def _target_exposures(entry: _Json, product: Path, facts: Mapping[str, Any]) -> _Json:
    del product, facts
    return _put(entry, entry["settings"], SECTIONS)


def _absolute_catalog(entry: _Json, product: Path, facts: Mapping[str, Any]) -> _Json:
    del product, facts
    old = dict(entry["settings"])
    cone = old.pop("cone")
    return _put(entry, {"catalog": old, "cone": cone}, SECTIONS)


def _alignment_of(old: _Json) -> _Json:
    """The sections of an alignment, of which format 1 had one without names."""
    old = dict(old)
    sections: _Json = {}
    if "max_position_error_mas" in old:
        sections["catalog"] = {"max_position_error_mas": old.pop("max_position_error_mas")}
    if "gate" in old:
        sections["gate"] = old.pop("gate")
    return {**sections, "alignment": old} if old else sections


def _aligned_exposure(entry: _Json, product: Path, facts: Mapping[str, Any]) -> _Json:
    expected = [each.get("n_held_out_chance") or 0.0 for each in facts.get("tries", [])]
    entry["code"][_EXPOSURE] = _version_of_alignment(
        entry["code"][_EXPOSURE], may_be_wrong=max(expected, default=0.0) > _MOST_EXPECTED
    )
    old = dict(entry["settings"])
    detector = _detector_of_file(product.name)
    names: tuple[str, ...] = _OF_ALIGNMENT
    drizzled = old.pop("drizzle_code_version", None)
    if drizzled is not None:
        # The drizzled epochs are gone: what WFPC2's were cannot be seen any more.
        entry["code"][_DRIZZLED] = "4" if drizzled == "3" and detector != "wfpc2" else drizzled
        names += _OF_IMAGES
    entry["detectors"] = _rows({detector} - {None}, names)
    return _put(entry, _alignment_of(old), SECTIONS)


def _aligned_exposures(entry: _Json, product: Path, facts: Mapping[str, Any]) -> _Json:
    del product, facts
    return _put(entry, {"alignment": entry["settings"]}, SECTIONS)


def _reference_image(entry: _Json, product: Path, facts: Mapping[str, Any]) -> _Json:
    reasons = " ".join(map(str, dict(facts.get("left_out") or {}).values()))
    entry["code"][_REFERENCE] = _version_of_alignment(
        entry["code"][_REFERENCE], may_be_wrong="by chance" in reasons
    )
    old = dict(entry["settings"])
    if facts["band"] == "user":
        sections = _alignment_of(old)
        how = dict(sections.get("alignment", {}))
        width = how.pop("conv_width_pix", None)
        fwhm = _users_fwhm_arcsec(product.parent.parent / str(facts["image"]), width)
        sections["alignment"] = {**how, **({} if fwhm is None else {"fwhm_arcsec": fwhm})}
        return _put(entry, sections, SECTIONS)
    detector = str(facts["band"]).partition(".")[0]
    version = old.pop("drizzle_code_version")
    entry["code"][_DRIZZLED] = _version_seen(product, detector, version)
    entry["detectors"] = _rows({detector}, (*_OF_ALIGNMENT, *_OF_IMAGES))
    exposures = [
        name
        for name in entry["inputs"]
        if name.startswith("raw:") and not name.endswith("_c1m.fits")
    ]
    drizzle = dict(old.pop("drizzle"))
    in_force = {
        **_alignment_of(old.pop("alignment")),
        "gate": old.pop("gate"),
        "target": drizzle.pop("target"),
        "drizzle": drizzle,
    }
    return _put(entry, in_force, _drizzle_defaults(detector, len(exposures)))


def _users_fwhm_arcsec(image: Path, width_pix: float | None) -> float | None:
    """FWHM of a star on a user's image of one of our detectors, as its record did not say."""
    from astropy.io import fits

    try:
        header = fits.getheader(image, 0)
    except OSError:
        return None
    instrument = str(header.get("INSTRUME", "")).strip().lower()
    key = f"{instrument}_{str(header.get('DETECTOR', '')).strip().lower()}"
    row = DETECTOR_FIGURES.get("wfpc2" if instrument == "wfpc2" else key)
    if row is None:
        return None
    return float((width_pix or row["fwhm_pix"]) * row["pixel_scale_arcsec"] * 1.1)


def _drizzled_image(entry: _Json, product: Path, facts: Mapping[str, Any]) -> _Json:
    del facts
    detector = _detector_named_by(product)
    entry["code"][_DRIZZLED] = _version_seen(product, detector, entry["code"][_DRIZZLED])
    entry["detectors"] = _rows({detector}, _OF_IMAGES)
    drizzle = dict(entry["settings"])
    n_exposures = sum(not name.startswith("other:") for name in entry["inputs"])
    in_force = {"target": drizzle.pop("target"), "drizzle": drizzle}
    return _put(entry, in_force, _drizzle_defaults(detector, n_exposures))


def _drizzle_defaults(detector: str, n_exposures: int) -> _Json:
    row = DETECTOR_FIGURES[detector]
    bits = str(row["drizzle_good_bits"])
    parameters = {
        **DRIZZLE_OF_ONE,
        **(DRIZZLE_OF_MORE if n_exposures > 1 else {}),
        "driz_sep_bits": bits,
        "final_bits": bits,
        "driz_cr_snr": " ".join(f"{value:g}" for value in row["driz_cr_snr"]),
        "driz_cr_scale": " ".join(f"{value:g}" for value in row["driz_cr_scale"]),
    }
    if n_exposures >= 7:
        parameters |= {"combine_type": "median", "combine_nhigh": (n_exposures - 4) // 2}
    drizzle = {
        **SECTIONS["drizzle"],
        "scale_arcsec": row["drizzle_scale_arcsec"],
        "parameters": parameters,
    }
    return {**SECTIONS, "drizzle": drizzle}


def _version_seen(product: Path, detector: str, version: str) -> str:
    """Version "4" for what "3" made as today's code does, by the cards in the product."""
    if version != "3":
        return version
    from astropy.io import fits

    try:
        header = fits.getheader(product, 0)
    except OSError:
        return version
    whole = all(card in header for card in _NOISE_CARDS)
    if detector == "wfpc2":
        # Since the gains are counted once, GAIN is the figure of the chip, not of the mode.
        whole &= "GAIN" in header and float(header["GAIN"]) not in _GAINS_OF_A_MODE
    return "4" if whole else version


def _index_of_drizzles(entry: _Json, product: Path, facts: Mapping[str, Any]) -> _Json:
    del product, facts
    old = dict(entry["settings"])
    epochs = old.pop("epochs")
    return _put(entry, {"drizzle": old, "epochs": epochs}, {"drizzle": SECTIONS["drizzle"]})


def _difference_image(entry: _Json, product: Path, facts: Mapping[str, Any]) -> _Json:
    del facts
    entry["detectors"] = _rows({_detector_named_by(product)}, _OF_DIFFERENCES)
    return _put(entry, entry["settings"], {})


def _epoch_differences(entry: _Json, product: Path, facts: Mapping[str, Any]) -> _Json:
    del product, facts
    old = dict(entry["settings"])
    in_force = {"drizzle": {"max_flux_error": old.pop("max_flux_error")}, **old}
    return _put(entry, in_force, SECTIONS)


_STAGES: dict[str, Callable[[_Json, Path, Mapping[str, Any]], _Json]] = {
    "exposure_table": _exposure_table,
    "target_exposures": _target_exposures,
    "absolute_catalog": _absolute_catalog,
    "reference_image": _reference_image,
    "aligned_exposure": _aligned_exposure,
    "aligned_exposures": _aligned_exposures,
    "drizzled_image": _drizzled_image,
    "epoch_drizzles": _index_of_drizzles,
    "drizzled_stacks": _index_of_drizzles,
    "difference_image": _difference_image,
    "epoch_differences": _epoch_differences,
}

"""One zero point for all chips of a product: what each is multiplied by, and what is left to say.

A star would be fainter on the chips, or in the years, of lower sensitivity, and one zero point
would not hold for the product. Chips are therefore scaled to the PHOTFLAM of the first one, as far
as their headers give a PHOTFLAM that is theirs and comparable.

* PHOTFLAM by two tables differs by the tables, too. Exposures that were calibrated with another
  table are not scaled by it; only what FLUXCORR did to UVIS2 (its PHTRATIO) is brought to one.
* Chips whose PHOTPLAM differ saw different passbands: they are not scaled to each other.
* A chip without PHOTFLAM, or with that of another filter, keeps its counts, and the product has no
  zero point, unless the user gives one (``drizzle.photometry``).
* WFPC2's counts are DN, of gains that differ from chip to chip and by a factor of two between its
  modes. Its chips without a PHOTFLAM to go by are brought to one gain, that is to electrons; by how
  much their sensitivities differ is not known then (by PHOTFLAM over gain 4 %, F555W).

Only child processes import this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from hst_assets.detectors import Detector
from hst_assets.exposures.keywords import keyword_of
from hst_assets.exposures.photometry import (
    Calibration,
    Photometry,
    calibration_of,
    of_other_units,
    photometry_of,
)
from hst_assets.imaging.astrodrizzle.input_headers import PHOTOMETRY, filter_of
from hst_assets.imaging.frames import opened
from hst_assets.imaging.wfpc2_gain import gain_of

__all__ = ["FluxScale", "flux_scale"]

#: Factors nearer to 1 are rounding.
_TOLERANCE = 1e-5
#: Pivot wavelengths of one filter differ by less between chips and tables (F200LP: 0.02).
_SAME_PASSBAND = 0.03
_UVIS2 = 2
_SCALED_ALL_THE_SAME = "scaled by the two, right to some per cent"
_SCALED_BY_GAIN = "chips scaled by their gains; their sensitivities, some per cent, not checked"
_GIVEN = "drizzle.photometry"


@dataclass(frozen=True)
class FluxScale:
    """The scale of a product.

    Attributes
    ----------
    cards : mapping
        PHOTMODE, PHOTFLAM and kin that hold for all chips once they are scaled; empty if none do.
    factors : mapping
        What SCI of each file and EXTVER is multiplied by.
    gain_e : float or None
        Of WFPC2, electrons in one DN of the chip to which all are scaled.
    problems : tuple of str
        Why there is no zero point, or which exposures are not on one scale.
    unchecked : tuple of str
        Of whose zero point it could not be told whether it is their own.
    """

    cards: Mapping[str, Any]
    factors: Mapping[tuple[str, int], float]
    gain_e: float | None = None
    problems: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """All there is to say, for the product's header."""
        return "; ".join((*self.problems, *self.unchecked))

    def apply(self, hdus: fits.HDUList, name: str) -> None:
        """Scale the planes of a copy, and let its header say what they are now."""
        for hdu in hdus:
            factor = self.factors.get((name, int(hdu.ver)), 1.0)
            if hdu.name in {"SCI", "ERR"} and abs(factor - 1.0) > _TOLERANCE:
                hdu.data = (hdu.data * factor).astype(np.float32)
            if hdu.name in {"PRIMARY", "SCI"}:
                for keyword in PHOTOMETRY:
                    hdu.header.remove(keyword, ignore_missing=True)
            if hdu.name == "SCI":
                hdu.header.update(self.cards)


@dataclass(frozen=True)
class _Chip:
    """What decides the scale of one chip."""

    rootname: str
    key: tuple[str, int]
    number: int
    photometry: Photometry
    calibration: Calibration
    cards: Mapping[str, Any]
    gain_e: float | None

    @property
    def known(self) -> bool:
        """Whether its PHOTFLAM is its own."""
        return self.photometry.flam > 0


def flux_scale(
    exposures: Sequence[Path], detector: Detector, given: Mapping[str, Sequence[float]]
) -> FluxScale:
    """The scale of a product of some exposures.

    Parameters
    ----------
    exposures : sequence of `~pathlib.Path`
        Exposures of one detector and filter, in the order in which they are combined.
    detector : Detector
        Theirs.
    given : mapping
        PHOTFLAM and PHOTPLAM by band, as the user gives them; they are for chips without a zero
        point of their own.
    """
    chips = [chip for path in exposures for chip in _chips(path, detector, given)]
    known = [chip for chip in chips if chip.known]
    faults = _by_exposure((chip.rootname, chip.photometry.fault) for chip in chips)
    unchecked = _by_exposure((chip.rootname, chip.photometry.unchecked) for chip in chips)
    apart = _different_passbands(known)
    if not known or apart:
        return _on_one_gain(chips, (*_without_zero_point(faults), *apart))
    reference = known[0]
    factors = {chip.key: _factor(chip, reference, chips) for chip in known}
    problems = [*_without_zero_point(faults), *_of_other_tables(known, reference)]
    others = [chip for chip in chips if not chip.known]
    return FluxScale(
        cards={} if faults else reference.cards,
        factors=factors | _gain_factors(others, reference.gain_e),
        gain_e=reference.gain_e,
        problems=(*problems, *_by_gain(others)),
        unchecked=tuple(f"zero point not checked: {who}: {why}" for why, who in unchecked.items()),
    )


def _on_one_gain(chips: Sequence[_Chip], problems: tuple[str, ...]) -> FluxScale:
    """The scale where no zero point holds: counts as they are, WFPC2's as of the first gain."""
    gain = chips[0].gain_e
    return FluxScale({}, _gain_factors(chips, gain), gain, (*problems, *_by_gain(chips)))


def _gain_factors(chips: Sequence[_Chip], gain_e: float | None) -> dict[tuple[str, int], float]:
    """What brings WFPC2's counts to those of one gain."""
    return {
        chip.key: chip.gain_e / gain_e
        for chip in chips
        if chip.gain_e is not None and gain_e is not None
    }


def _by_gain(chips: Sequence[_Chip]) -> list[str]:
    names = dict.fromkeys(chip.rootname for chip in chips if chip.gain_e is not None)
    if not names:
        return []
    return [f"{', '.join(names)}: {_SCALED_BY_GAIN}"]


def _chips(path: Path, detector: Detector, given: Mapping[str, Sequence[float]]) -> list[_Chip]:
    with opened(path) as hdus:
        primary = hdus[0].header
        mine = given.get(detector.band(filter_of(primary, detector)))
        calibration = calibration_of(primary)
        found = []
        for hdu in hdus:
            if hdu.name != "SCI":
                continue
            photometry = photometry_of(hdu.header, primary, detector)
            cards = {
                key: value
                for key in PHOTOMETRY
                if (value := keyword_of(hdu.header, primary, key)) is not None
            }
            if photometry.fault and mine is not None:
                flam, plam = (float(value) for value in mine)
                photometry = Photometry(_GIVEN, flam, plam)
                cards = {"PHOTMODE": _GIVEN, "PHOTFLAM": flam, "PHOTPLAM": plam}
                calibration = replace(calibration, table=_GIVEN)
            found.append(
                _Chip(
                    rootname=str(primary.get("ROOTNAME") or path.name.split("_")[0]).lower(),
                    key=(path.name, int(hdu.ver)),
                    number=int(hdu.header.get("CCDCHIP") or hdu.header.get("DETECTOR") or 1),
                    photometry=photometry,
                    calibration=calibration,
                    cards=cards,
                    gain_e=gain_of(hdu.header, primary) if detector.has_separate_dq else None,
                )
            )
        return found


def _factor(chip: _Chip, reference: _Chip, chips: Sequence[_Chip]) -> float:
    """What brings a chip's counts to those of the reference."""
    flams = chip.photometry.flam, reference.photometry.flam
    if _comparable(chip, reference) or of_other_units(*flams):
        return flams[0] / flams[1]
    # Within its own exposure the chips can be compared; between tables they cannot.
    own = [each for each in chips if each.key[0] == chip.key[0] and each.known]
    first = next((each for each in own if each.number == reference.number), own[0])
    factor = chip.photometry.flam / first.photometry.flam
    if chip.number == _UVIS2:
        ratio = reference.calibration.ratio / chip.calibration.ratio
        factor *= ratio if math.isfinite(ratio) else 1.0
    return factor


def _comparable(chip: _Chip, reference: _Chip) -> bool:
    given = _GIVEN in {chip.calibration.table, reference.calibration.table}
    if given or chip.key[0] == reference.key[0]:
        return True
    return chip.calibration.agrees_with(reference.calibration)


def _of_other_tables(chips: Sequence[_Chip], reference: _Chip) -> list[str]:
    """Which exposures have another PHOTFLAM by another table, or by one that is not known."""
    of = {chip.number: chip for chip in reversed(chips) if chip.key[0] == reference.key[0]}
    odd: dict[tuple[str, bool], list[str]] = {}
    for chip in chips:
        other = of.get(chip.number, reference)
        change = chip.photometry.flam / other.photometry.flam
        scaled = of_other_units(chip.photometry.flam, other.photometry.flam)
        if abs(change - 1.0) > _TOLERANCE and not _comparable(chip, reference):
            names = odd.setdefault((str(chip.calibration), scaled), [])
            if chip.rootname not in names:
                names.append(chip.rootname)
    return [
        f"{', '.join(names)}: zero point of {table}, of the others {reference.calibration}: "
        + (_SCALED_ALL_THE_SAME if scaled else "not scaled to each other")
        + " (download them again, to have one calibration)"
        for (table, scaled), names in odd.items()
    ]


def _different_passbands(chips: Sequence[_Chip]) -> tuple[str, ...]:
    """Whether chips saw light of different wavelengths: no factor makes one flux of those."""
    pivots = sorted(chip.photometry.plam for chip in chips)
    if not pivots or pivots[-1] / pivots[0] - 1.0 <= _SAME_PASSBAND:
        return ()
    apart = f"PHOTPLAM {pivots[0]:g} to {pivots[-1]:g}"
    return (f"no zero point: chips of different passbands ({apart})",)


def _by_exposure(pairs: Any) -> dict[str, str]:
    """The exposures to which each reason applies, as text, by reason."""
    found: dict[str, list[str]] = {}
    for rootname, reason in pairs:
        if reason and rootname not in found.setdefault(reason, []):
            found[reason].append(rootname)
    return {reason: ", ".join(names) for reason, names in found.items()}


def _without_zero_point(faults: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(
        f"no zero point: {who}: {why} (set {_GIVEN}, or leave them out in overrides.ecsv)"
        for why, who in faults.items()
    )

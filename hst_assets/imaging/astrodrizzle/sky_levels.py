"""The sky's level as the user gives it, in place of the measured one (``drizzle.sky_level``).

Where a galaxy fills the frame no pixel shows the sky alone, and what is measured is sky and galaxy.
By how much the skies of exposures differ can be measured all the same, on the same stars and the
same galaxy. So the differences stay as they were measured, and all levels are moved together: by
one surface brightness, in each chip by the area of its pixels.
"""

# ruff: noqa: SLF001 - what drizzlepac's image objects know is private to them

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from astropy.io import fits

from hst_assets.detectors import Detector
from hst_assets.exposures.keywords import number as number_of
from hst_assets.failures import BadConfiguration
from hst_assets.imaging.astrodrizzle.input_headers import Input, filter_of
from hst_assets.settings import DrizzleSettings

__all__ = [
    "Skies",
    "bring_to_levels",
    "brought_to_levels",
    "given_levels",
    "levels_of",
    "sky_cards",
]

#: Sky subtracted from each chip (EXTVER) of each exposure (file name), native units.
Skies = Mapping[str, Mapping[int, float]]


def given_levels(
    settings: DrizzleSettings,
    parameters: Mapping[str, Any],
    *,
    band: str,
    rootnames: Collection[str],
) -> dict[str, float]:
    """What of ``drizzle.sky_level`` holds for one product.

    Parameters
    ----------
    settings : DrizzleSettings
        The user's choices.
    parameters : mapping
        AstroDrizzle's, for this product.
    band : str
        The product's.
    rootnames : collection of str
        Of what is combined.

    Returns
    -------
    dict
        Counts per second and native pixel by rootname; of the band where no exposure has one of
        its own; empty where nothing is given.

    Raises
    ------
    BadConfiguration
        If a level is given and no sky is to be subtracted.
    """
    levels = settings.sky_level
    own = {name: levels[name] for name in sorted(rootnames) if name in levels}
    found = own or ({band: levels[band]} if band in levels else {})
    if found and not parameters["skysub"]:
        raise BadConfiguration(
            f"a sky is given for {', '.join(found)}, and none is to be subtracted",
            where="drizzle.sky_level",
            next_step="Take skysub = false out of drizzle.parameters, or the level out of here",
        )
    return found


def levels_of(
    inputs: Sequence[Input],
    settings: DrizzleSettings,
    parameters: Mapping[str, Any],
    detector: Detector,
) -> dict[str, float]:
    """`given_levels` for exposures whose headers are read."""
    return given_levels(
        settings,
        parameters,
        band=detector.band(filter_of(inputs[0].primary, detector)),
        rootnames=[item.rootname for item in inputs],
    )


def sky_cards(levels: Mapping[str, float], n_exposures: int) -> dict[str, list[Any]]:
    """The card that says whose sky's level the user gave; none where it was measured."""
    if not levels:
        return {}
    (first, *_) = levels
    of_band = "." in first
    whose = first if of_band else f"{len(levels)} OF {n_exposures} EXPOSURES"
    return {"D_SKYLEV": [whose, "whose sky level the user gave"]}


def bring_to_levels(
    images: Sequence[Any],
    *,
    inputs: Sequence[Input],
    detector: Detector,
    levels: Mapping[str, float],
) -> None:
    """Let drizzlepac's exposures, whose skies are measured, have the levels that are given.

    It subtracts `computedSky`, and takes the noise of `subtractedSky`.
    """
    chips = {
        image._filename: {
            number: image[image.scienceExt, number]
            for number in range(1, image._numchips + 1)
            if image[image.scienceExt, number].group_member
        }
        for image in images
    }
    measured = {
        name: {number: float(chip.subtractedSky or 0.0) for number, chip in members.items()}
        for name, members in chips.items()
    }
    skies = brought_to_levels(measured, inputs=inputs, detector=detector, levels=levels)
    for image in images:
        for number, chip in chips[image._filename].items():
            chip.computedSky = chip.subtractedSky = skies[image._filename][number]
            fits.setval(
                image._filename,
                "MDRIZSKY",
                value=chip.subtractedSky,
                ext=(image.scienceExt, number),
            )


def brought_to_levels(
    measured: Skies,
    *,
    inputs: Sequence[Input],
    detector: Detector,
    levels: Mapping[str, float],
) -> dict[str, dict[int, float]]:
    """The skies with the levels that are given.

    Parameters
    ----------
    measured : mapping
        By file name and EXTVER, the sky in native units.
    inputs : sequence of Input
        The exposures.
    detector : Detector
        Theirs.
    levels : mapping
        As `given_levels` has them: by rootname, or one for all.

    Returns
    -------
    dict
        As `measured`. An exposure with a level has it, as the mean over its chips. The others are
        moved by the mean of what those with a level were moved by, weighted by exposure time;
        one level for all is the mean over all exposures, so weighted.
    """
    of_exposures = [_Sky(measured[item.file], item, detector) for item in inputs]
    own = [each for each in of_exposures if each.item.rootname in levels]
    if own:
        missing = sum(each.missing(levels[each.item.rootname]) for each in own)
        common = missing / sum(each.area for each in own)
    else:
        (level,) = levels.values()
        missing = sum(each.missing(level) for each in of_exposures)
        common = missing / sum(each.area for each in of_exposures)
    return {
        each.item.file: each.moved_by(
            each.missing(levels[each.item.rootname]) / each.area if each in own else common
        )
        for each in of_exposures
    }


class _Sky:
    """The sky of one exposure, as measured, and the area of its chips' pixels.

    Attributes
    ----------
    item : Input
        The exposure.
    area : float
        Mean area of a chip's pixel (arcsec2), times the exposure time.
    """

    def __init__(self, measured: Mapping[int, float], item: Input, detector: Detector) -> None:
        self.item = item
        self._measured = measured
        self._seconds = 1.0 if detector.rate_units else item.exptime_s
        self._areas = {
            int(chip.get("EXTVER", 1)): (
                number_of(chip, "IDCSCALE", 0.0) or detector.flat_scale_arcsec(chip)
            )
            ** 2
            for chip in item.chips or (item.science,)
        }
        mean = sum(self._areas[number] for number in measured) / len(measured)
        self.area = mean * item.exptime_s

    def missing(self, level: float) -> float:
        """Counts per native pixel by which the level is above what was measured."""
        mean = sum(self._measured.values()) / len(self._measured)
        return (level - mean / self._seconds) * self.item.exptime_s

    def moved_by(self, brightness: float) -> dict[int, float]:
        """The sky of each chip, and so many counts per second and arcsec2 more."""
        return {
            number: sky + brightness * self._areas[number] * self._seconds
            for number, sky in self._measured.items()
        }

"""Which exposures are the earlier images, which the later ones, and which show what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import QTable
from astropy.time import Time

from hst_assets.detectors import DETECTORS
from hst_assets.failures import BadConfiguration
from hst_assets.settings.counterpart import CounterpartSettings

__all__ = ["Exposure", "ImageGroups", "group_images", "require_epoch"]


@dataclass(frozen=True)
class Exposure:
    """An exposure that is used."""

    rootname: str
    file: str
    visit: str
    detector_key: str
    filter_name: str
    epoch: int
    mjd_start: float
    exptime_s: float

    @property
    def band(self) -> str:
        """Detector and filter."""
        return DETECTORS[self.detector_key].band(self.filter_name)


@dataclass(frozen=True)
class ImageGroups:
    """The exposures by their part in the question.

    Attributes
    ----------
    every : tuple of Exposure
        All that are used.
    early : tuple of Exposure
        Those before the object appeared, in which its counterpart is looked for.
    measured : tuple of Exposure
        Those on which its position is measured; empty where it is given.
    late : tuple of Exposure
        Those after it has faded.
    doubts : tuple of str
        What was taken for the date of its appearance, where none is set.
    """

    every: tuple[Exposure, ...]
    early: tuple[Exposure, ...]
    measured: tuple[Exposure, ...] = ()
    late: tuple[Exposure, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def early_bands(self) -> tuple[str, ...]:
        """Bands of the earlier images."""
        return tuple(sorted({one.band for one in self.early}))

    @property
    def shining(self) -> tuple[Exposure, ...]:
        """Exposures that are neither early nor late: the object itself may shine in them."""
        others = {one.rootname for one in (*self.early, *self.late)}
        return tuple(one for one in self.every if one.rootname not in others)

    def epochs(self, exposures: Sequence[Exposure]) -> tuple[int, ...]:
        """Numbers of their epochs."""
        return tuple(sorted({one.epoch for one in exposures}))


def group_images(table: QTable, settings: CounterpartSettings) -> ImageGroups:
    """Divide the exposures of a target.

    Parameters
    ----------
    table : QTable
        The target's exposure table, with epochs.
    settings : CounterpartSettings
        `measured_on`, `appeared` and `faded`.

    Raises
    ------
    BadConfiguration
        If there is no such epoch, or no earlier exposure; if the object would have appeared after
        the exposures on which it is measured began.
    """
    every = tuple(_exposure(row) for row in table if bool(row["used"]))
    if settings.measured_on is not None:
        require_epoch(table, settings.measured_on)
    measured = tuple(one for one in every if one.epoch == settings.measured_on)
    before, doubts = _appeared(settings, measured)
    since = np.inf if settings.faded is None else float(Time(settings.faded, scale="utc").mjd)
    early = tuple(one for one in every if one.mjd_start < min(before, since))
    if not early:
        raise BadConfiguration(
            "no exposure is earlier than the object",
            next_step="Set counterpart.appeared to a date after the first exposures",
        )
    late = tuple(one for one in every if one.mjd_start >= since)
    return ImageGroups(every, early, measured, late, doubts)


def require_epoch(table: QTable, number: int) -> None:
    """Refuse an epoch of which no exposure is used.

    Parameters
    ----------
    table : QTable
        The target's exposure table, with epochs.
    number : int
        The epoch on which a position is to be measured.

    Raises
    ------
    BadConfiguration
        If there is none, with those that there are.
    """
    there = sorted({int(row["epoch"]) for row in table if bool(row["used"])})
    if number not in there:
        raise BadConfiguration(
            f"counterpart.measured_on is {number}; there is no such epoch",
            next_step=f"Epochs: {', '.join(map(str, there))}",
        )


def _appeared(
    settings: CounterpartSettings, measured: tuple[Exposure, ...]
) -> tuple[float, tuple[str, ...]]:
    """From when on the object may shine (MJD), and what a reader must know of that."""
    first = min((one.mjd_start for one in measured), default=np.inf)
    if settings.appeared is not None:
        appeared = float(Time(settings.appeared, scale="utc").mjd)
        if appeared > first:
            raise BadConfiguration(
                f"counterpart.appeared is {settings.appeared}, but epoch {settings.measured_on}, "
                f"on which the object is measured, began on "
                f"{Time(first, format='mjd', scale='utc').isot[:10]}",
                next_step="Set counterpart.appeared to a date before, or another measured_on",
            )
        return appeared, ()
    if measured:
        return first, (f"appeared is not set: taken as the start of epoch {settings.measured_on}",)
    return first, ("no date of appearance is set: every exposure counts as earlier",)


def _exposure(values: Any) -> Exposure:
    return Exposure(
        rootname=str(values["rootname"]),
        file=str(values["file"]),
        visit=str(values["visit"]),
        detector_key=str(values["detector_key"]),
        filter_name=str(values["filter"]),
        epoch=int(values["epoch"]),
        mjd_start=float(values["mjd_start"].to_value("d")),
        exptime_s=float(values["exptime"].to_value("s")),
    )

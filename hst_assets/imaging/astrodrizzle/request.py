"""What one drizzled product is made of, and what it turned out to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hst_assets.detectors import Detector
from hst_assets.imaging.box_mask import BoxMask
from hst_assets.imaging.frames import Frame
from hst_assets.settings import DrizzleSettings

__all__ = ["CardValue", "DrizzleReport", "DrizzleRequest"]

CardValue = str | int | float | bool


@dataclass(frozen=True)
class DrizzleRequest:
    """One product to be made.

    Parameters
    ----------
    exposures : sequence of `~pathlib.Path`
        Aligned exposures of one detector and filter (WFPC2: the c0m files; each has its c1m
        beside it). They are only read.
    output : `~pathlib.Path`
        Final name of the product.
    detector : Detector
        Registry row of the exposures' detector.
    frame : Frame
        Pixels of the product.
    settings : DrizzleSettings
        How they are combined.
    label : str
        Names log and scratch folder.
    cards : mapping
        More cards for the product's primary header: ``{keyword: value}`` or
        ``{keyword: (value, comment)}``.
    others : sequence of `~pathlib.Path`, optional
        Aligned exposures of the same detector, in any filter, that show which pixels of
        `exposures` hold cosmic rays; they are not combined.
    box : BoxMask, optional
        What is masked in which exposure.
    failed : mapping, optional
        ``{file name: reason}`` of exposures that were to be combined as well, and that could not
        be: the product is made of the rest, and says so.
    """

    exposures: Sequence[Path]
    output: Path
    detector: Detector
    frame: Frame
    settings: DrizzleSettings
    label: str
    cards: Mapping[str, CardValue | tuple[CardValue, str]] = field(default_factory=dict)
    others: Sequence[Path] = ()
    box: BoxMask | None = None
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DrizzleReport:
    """What a product turned out to be.

    Attributes
    ----------
    product : str
        Path of the product.
    inputs : tuple of str
        Rootnames that were combined.
    left_out : tuple of str
        File names of exposures that do not reach into the frame.
    failed : tuple of str
        File names of exposures that could not be combined; the complaints say why.
    exptime_s : float
        Total exposure time.
    sky_per_s : float or None
        Mean sky that was subtracted, in native units per second and native pixel.
    cosmic_ray_fraction : float or None
        Share of native pixels flagged as cosmic rays; None if nothing could tell them.
    bad_fraction : float
        Share of the exposures' footprint that has no weight or no finite value.
    weight_max : float
        Largest value of the weight map.
    flux_ratio : float or None
        Median over stars of flux on the product over flux on the exposures.
    n_flux_stars : int
        How many stars that is from.
    complaints : tuple of str
        What AstroDrizzle gave up on without failing, and what is wrong with the weights.
    problems : tuple of str
        All that failed a check, in words: the complaints, and figures beyond the settings'
        limits; empty if all is well.
    seconds : float
        Wall time of the child.
    mjd_start, mjd_end : float
        Start of the first exposure and end of the last (MJD, UTC).
    """

    product: str
    inputs: tuple[str, ...]
    left_out: tuple[str, ...]
    failed: tuple[str, ...]
    exptime_s: float
    sky_per_s: float | None
    cosmic_ray_fraction: float | None
    bad_fraction: float
    weight_max: float
    flux_ratio: float | None
    n_flux_stars: int
    complaints: tuple[str, ...]
    problems: tuple[str, ...]
    seconds: float
    mjd_start: float
    mjd_end: float

    def as_json(self) -> dict[str, Any]:
        """All figures as JSON."""
        return asdict(self)

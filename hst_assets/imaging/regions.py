"""Region files for DS9: the outlines of the exposures behind a product, chip by chip.

The outlines are those of the aligned exposures, through their full WCS, in ICRS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import astropy.units as u
from astropy.coordinates import SkyCoord

from hst_assets.exposures.header import read_exposure
from hst_assets.imaging.plan import AlignedExposure
from hst_assets.workdir import WorkDir, write_atomically

if TYPE_CHECKING:
    from regions import PolygonSkyRegion

__all__ = ["by_epoch", "by_filter", "exposure_regions", "write_footprints"]

#: DS9's own colours, told apart on grey and on black; they repeat if there are more groups.
COLOURS = ("cyan", "yellow", "magenta", "green", "red", "orange", "white", "blue")


def by_epoch(exposure: AlignedExposure) -> str:
    """Group of exposures that share a colour: the epoch."""
    return f"epoch {exposure.epoch}"


def by_filter(exposure: AlignedExposure) -> str:
    """Group of exposures that share a colour: detector and filter."""
    return exposure.band


def write_footprints(
    path: Path,
    exposures: Iterable[AlignedExposure],
    workdir: WorkDir,
    *,
    group: Callable[[AlignedExposure], str],
) -> Path:
    """Write the outlines of exposures as a DS9 region file.

    Parameters
    ----------
    path : `~pathlib.Path`
        Where it goes; written in one step.
    exposures : iterable of AlignedExposure
        Each is drawn once; one whose file is gone is left out.
    workdir : WorkDir
        Where their files are.
    group : callable
        Names what shares a colour: `by_epoch` or `by_filter`. The name is the regions' tag, by
        which DS9 selects them together.

    Returns
    -------
    `~pathlib.Path`
        `path`.
    """
    from regions import Regions

    unique = {exposure.file: exposure for exposure in exposures}
    ordered = sorted(unique.values(), key=lambda each: (each.mjd_start, each.rootname))
    groups = sorted({group(exposure) for exposure in ordered})
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(groups)}
    drawn = []
    for exposure in ordered:
        file = workdir.aligned(exposure.file)
        if file.is_file():
            name = group(exposure)
            drawn += exposure_regions(file, exposure, colour=colours[name], tag=name)
    with write_atomically(path) as part:
        part.write_text(Regions(drawn).serialize(format="ds9", precision=8))
    return path


def exposure_regions(
    path: Path, exposure: AlignedExposure, *, colour: str, tag: str
) -> list[PolygonSkyRegion]:
    """One polygon a chip of an exposure, labelled with what it is.

    Raises
    ------
    UnusableInput
        If the file cannot be read.
    """
    from regions import PolygonSkyRegion, RegionMeta, RegionVisual

    drawn = []
    for chip in read_exposure(path).chips:
        label = f"{exposure.rootname} chip {chip.number} {exposure.filter} {exposure.exptime_s:g} s"
        vertices = SkyCoord(chip.polygon[:, 0] * u.deg, chip.polygon[:, 1] * u.deg, frame="icrs")
        meta = RegionMeta({"text": label, "tag": [tag]})
        drawn.append(PolygonSkyRegion(vertices, meta, RegionVisual({"color": colour})))
    return drawn

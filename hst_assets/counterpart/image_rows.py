"""What exposures, stacks and headers say for the figure, the paragraph on methods and its table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.time import Time

from hst_assets.counterpart.image_groups import Exposure, ImageGroups
from hst_assets.counterpart.methods_text import ImageRow, instrument_of
from hst_assets.counterpart.stamps import Stamp, cut_stamp
from hst_assets.exposures.photometry import calibration_of
from hst_assets.failures import BadConfiguration, MissingProduct
from hst_assets.products.columns import read_table
from hst_assets.provenance import read_record
from hst_assets.workdir import WorkDir

__all__ = [
    "EpochStack",
    "calibrations_of",
    "difference_of_epoch",
    "image_rows",
    "software_of",
    "stack_of_epoch",
    "stacks_of_epochs",
    "stamps_about",
    "templates_of_bands",
]

_UNKNOWN = "unknown"
#: Distributions that a paper names, of those that decide what a stack is.
_SOFTWARE = ("drizzlepac", "stwcs", "photutils")


@dataclass(frozen=True)
class EpochStack:
    """The drizzled image of one epoch."""

    path: Path
    band: str
    epoch: int
    mjd_start: float


def stacks_of_epochs(workdir: WorkDir) -> list[EpochStack]:
    """The drizzled epochs of a target that are there, in the order of bands and time."""
    found = [
        EpochStack(
            path=workdir.absolute(str(row["file"])),
            band=str(row["band"]),
            epoch=int(row["epoch"]),
            mjd_start=float(row["mjd_start"].to_value(u.day)),
        )
        for row in read_table(workdir.stack_products)
        if int(row["epoch"]) > 0 and str(row["file"])
    ]
    return sorted(found, key=lambda each: (each.band, each.mjd_start))


def stack_of_epoch(stacks: Sequence[EpochStack], epoch: int, where: Path) -> EpochStack:
    """The drizzled image of an epoch.

    Raises
    ------
    MissingProduct
        If it has none.
    """
    for each in stacks:
        if each.epoch == epoch:
            return each
    raise MissingProduct(
        f"epoch {epoch} has no stack", where=where, next_step="See its reason in the index"
    )


def difference_of_epoch(workdir: WorkDir, epoch: int) -> Path:
    """The difference of an epoch and the template of its band.

    Raises
    ------
    BadConfiguration
        If there is none: it is the template itself, or the only one of its band.
    """
    for row in _differences(workdir):
        if int(row["epoch"]) == epoch and str(row["file"]):
            return workdir.absolute(str(row["file"]))
    raise BadConfiguration(
        f"epoch {epoch} has no difference on which a position could be measured",
        where=workdir.difference_products,
        next_step="Set counterpart.on_difference = false, or another difference.template",
    )


def templates_of_bands(workdir: WorkDir) -> dict[str, int]:
    """The epoch that was subtracted, of each band with differences."""
    return {
        str(row["band"]): int(row["template"]) for row in _differences(workdir) if str(row["file"])
    }


def _differences(workdir: WorkDir) -> Any:
    return read_table(workdir.difference_products) if workdir.difference_products.is_file() else ()


# ------------------------------------------------------------------------------------ stamps


def stamps_about(
    workdir: WorkDir, stacks: Sequence[EpochStack], place: tuple[float, float], side_arcsec: float
) -> list[Stamp]:
    """Stamps of every epoch's stack and of every difference that show a place."""
    stamps = [
        cut_stamp(
            each.path, place, side_arcsec, title=_title(each.band, each.epoch, each.mjd_start)
        )
        for each in stacks
        if each.path.is_file()
    ]
    for row in _differences(workdir):
        path = workdir.absolute(str(row["file"]))
        if str(row["file"]) and path.is_file():
            title = f"{row['band']} {row['epoch']} - {row['template']}"
            stamps.append(cut_stamp(path, place, side_arcsec, title=title, is_difference=True))
    return [stamp for stamp in stamps if stamp is not None]


def _title(band: str, epoch: int, mjd: float) -> str:
    return f"{band} epoch {epoch}, {Time(mjd, format='mjd', scale='utc').isot[:10]}"


# ----------------------------------------------------------------------------------- methods


def image_rows(
    workdir: WorkDir,
    groups: ImageGroups,
    stacks: Sequence[EpochStack],
    limits_3sigma: Mapping[tuple[str, int], float],
) -> list[ImageRow]:
    """One row for each band and epoch.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    groups : ImageGroups
        The exposures.
    stacks : sequence of EpochStack
        Whose headers have the zero points.
    limits_3sigma : mapping
        AB magnitudes by band and epoch.
    """
    zero_points = {each.epoch: _zero_point(each.path) for each in stacks}
    rows = []
    for epoch in groups.epochs(groups.every):
        members = [one for one in groups.every if one.epoch == epoch]
        first = members[0]
        rows.append(
            ImageRow(
                band=first.band,
                instrument=instrument_of(first.band),
                filter_name=first.filter_name,
                epoch=epoch,
                mjd=min(one.mjd_start for one in members),
                n_exposures=len(members),
                exptime_s=sum(one.exptime_s for one in members),
                programmes=tuple(sorted({_programme(workdir, one) for one in members})),
                part=_part(members, groups),
                zero_point_ab=zero_points.get(epoch, math.nan),
                limit_3sigma_mag=limits_3sigma.get((first.band, epoch), math.nan),
            )
        )
    return rows


def _part(members: Sequence[Exposure], groups: ImageGroups) -> str:
    roots = {one.rootname for one in members}
    for name, group in (
        ("early", groups.early),
        ("late", groups.late),
        ("position", groups.measured),
    ):
        if roots & {one.rootname for one in group}:
            return name
    return "other"


def _zero_point(stack: Path) -> float:
    """AB magnitude of one count a second by the header of a stack; NaN where it has none."""
    if not stack.is_file():
        return math.nan
    value = fits.getheader(stack).get("ZPAB")
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else math.nan


def _programme(workdir: WorkDir, exposure: Exposure) -> str:
    """Number of the proposal by the header of the exposure."""
    for path in (workdir.raw / exposure.file, workdir.aligned(exposure.file)):
        if path.is_file():
            number = fits.getheader(path).get("PROPOSID")
            return _UNKNOWN if number is None else str(number)
    return _UNKNOWN


def calibrations_of(workdir: WorkDir, exposures: Sequence[Exposure]) -> list[str]:
    """The versions of the calibration software that the headers of exposures name."""
    found = set()
    for one in exposures:
        path = workdir.raw / one.file
        if path.is_file() and (version := calibration_of(fits.getheader(path)).version):
            found.add(f"{instrument_of(one.band).partition('/')[0]} pipeline version {version}")
    return sorted(found)


def software_of(workdir: WorkDir, stacks: Sequence[EpochStack]) -> dict[str, tuple[str, ...]]:
    """What aligned and drizzled the stacks, by their records: not what is installed today.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    stacks : sequence of EpochStack
        Those that are there.

    Returns
    -------
    dict of tuple of str
        Versions by distribution, several where stacks were made by several; "unknown" of a stack
        that has no record.
    """
    found: dict[str, set[str]] = {name: set() for name in ("hst_assets", *_SOFTWARE)}
    for stack in stacks:
        record = read_record(_original(workdir, stack.path))
        tools = {} if record is None else record.recipe.get("tools", {})
        found["hst_assets"].add(_UNKNOWN if record is None else record.hst_assets)
        for name in _SOFTWARE:
            found[name].add(str(tools.get(name, _UNKNOWN)))
    return {name: tuple(sorted(versions)) for name, versions in found.items() if versions}


def _original(workdir: WorkDir, stack: Path) -> Path:
    """The stack of which another one of the same exposures is a link."""
    record = read_record(stack)
    same = None if record is None else record.facts.get("same_as")
    return workdir.absolute(str(same)) if same else stack

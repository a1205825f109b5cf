"""The residuals of the alignment of exposures, read from the target's alignment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from hst_assets.astrometry.cards import ANCHOR
from hst_assets.astrometry.matching import Geometry
from hst_assets.counterpart.epoch_tie import ExposureResiduals, FrameTie, frame_tie
from hst_assets.counterpart.image_groups import Exposure
from hst_assets.detectors import DETECTORS
from hst_assets.failures import MissingProduct
from hst_assets.products.columns import read_table
from hst_assets.provenance import read_record
from hst_assets.workdir import WorkDir

__all__ = ["Alignment", "read_alignment_of"]


@dataclass(frozen=True, eq=False)
class Alignment:
    """The alignment of a target: its exposures, and the stars behind it."""

    exposures: QTable
    matches: QTable
    ranks: Mapping[tuple[int, int], int]
    workdir: WorkDir
    geometry: Geometry

    def tie(self, name: str, members: Sequence[Exposure], place: tuple[float, float]) -> FrameTie:
        """How some exposures are tied to the reference at a place.

        An exposure that has no matches of its own (it defines the frame, or has its epoch's WCS)
        adds no residual.
        """
        wanted = {one.rootname for one in members}
        rows = [row for row in self.exposures if str(row["rootname"]) in wanted]
        keys = {one.rootname: one.detector_key for one in members}
        residuals = [
            found
            for row in rows
            if (found := self._of(row, keys[str(row["rootname"])])) is not None
        ]
        anchored = any(str(row["method"]) == ANCHOR for row in rows)
        terms = [self._geometry(row) for row in rows] or [self.geometry]
        widest = max(terms, key=("shift", "rshift", "rscale", "general").index)
        return frame_tie(name, residuals, place, geometry=widest, is_anchor=anchored)

    def _of(self, row: Any, detector_key: str) -> ExposureResiduals | None:
        name = str(row["rootname"])
        own = self.matches[np.asarray(self.matches["rootname"], dtype=str) == name]
        if len(own) == 0:
            return None
        scale_mas = DETECTORS[detector_key].pixel_scale_arcsec * 1e3
        held_out = [float(row[f"held_out_offset_{axis}"].to_value("pix")) for axis in "xy"]
        worse = max(map(abs, held_out)) if np.all(np.isfinite(held_out)) else math.nan
        ra, dec = own["ra"].to_value("deg"), own["dec"].to_value("deg")
        ranks = [self.ranks.get(key) for key in _keys(ra, dec)]
        return ExposureResiduals(
            rootname=name,
            ra_deg=ra,
            dec_deg=dec,
            east_mas=own["dra"].to_value("mas"),
            north_mas=own["ddec"].to_value("mas"),
            held_out_mas=worse * scale_mas,
            n_held_out=int(row["n_held_out"]),
            # Stars of an absolute catalogue are not the reference's: how bright they are, it tells.
            rank=None if None in ranks else np.array(ranks, dtype=np.int64),
        )

    def _geometry(self, row: Any) -> Geometry:
        """What the fit of an exposure could change, by its record; else what the settings say."""
        record = read_record(self.workdir.aligned(str(row["file"])))
        tries = record.facts.get("tries", []) if record is not None else []
        told = [each["fit_geometry"] for each in tries if "fit_geometry" in each]
        found: Geometry = told[-1] if told else self.geometry
        return found


def read_alignment_of(workdir: WorkDir, geometry: Geometry) -> Alignment:
    """Read the alignment of a target.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    geometry : {"shift", "rshift", "rscale", "general"}
        What fits may change by the settings.

    Raises
    ------
    MissingProduct
        If it is not there or cannot be read.
    """
    path = workdir.target_alignment
    try:
        exposures, matches = (
            QTable.read(path, format="hdf5", path=name) for name in ("exposures", "matches")
        )
    except (OSError, KeyError, ValueError) as error:
        raise MissingProduct(
            f"the alignment cannot be read: {error}",
            where=path,
            next_step="Materialize target_alignment",
        ) from error
    return Alignment(exposures, matches, _ranks(workdir.reference_catalog), workdir, geometry)


def _ranks(catalogue: Path) -> dict[tuple[int, int], int]:
    """The place of each star of the reference in the order of brightness; none of no catalogue."""
    if not catalogue.is_file():
        return {}
    stars = read_table(catalogue)
    ra, dec = (np.asarray(u.Quantity(stars[name], u.deg).value) for name in ("ra", "dec"))
    return {key: n for n, key in enumerate(_keys(ra, dec))}


def _keys(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> list[tuple[int, int]]:
    return [(round(ra * 1e9), round(dec * 1e9)) for ra, dec in zip(ra_deg, dec_deg, strict=True)]

"""What runs in child processes between rounds: the PSF of a band and chip, from all tiles' stars.

Which stars make it is decided by what a tile tells of them without their pixels; then the stamps of
those that were chosen are read, tile by tile. So no process holds all stamps of a target.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.psf.bright_stars import FAINT_SNR, BrightStars
from hst_assets.photometry.psf.epsf import fit_epsf
from hst_assets.photometry.psf.measurement import Measurement
from hst_assets.photometry.psf.prior_width import prior_of_width
from hst_assets.photometry.psf.psf_stars import select_psf_stars
from hst_assets.photometry.psf.star_stamps import StarStamps, joined_stamps

__all__ = ["fit_psf", "load_stamps", "save_stamps"]

Indices = NDArray[np.int64]


def save_stamps(folder: Path, name: str, found: BrightStars) -> BrightStars:
    """Write the stamps of a tile to a file of their own; what else is known of its stars.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Of the measurement.
    name : str
        Of the file in which all else will be left.
    found : BrightStars
        With its stamps.
    """
    path = _stamps_file(folder, name)
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(pickle.dumps(found.stamps, protocol=pickle.HIGHEST_PROTOCOL))
    part.replace(path)
    return found.without_pixels()


def load_stamps(folder: Path, name: str) -> list[StarStamps]:
    """The stamps of a tile, by image; see `save_stamps`."""
    stamps: list[StarStamps] = pickle.loads(_stamps_file(folder, name).read_bytes())  # noqa: S301 - our own file, in our scratch folder
    return stamps


def _stamps_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.stamps"


def fit_psf(
    folder: str, round_number: int, psf_key: str, of_tiles: Sequence[str], output: str
) -> None:
    """Fit the PSF of a key to the stars of all tiles, and leave it (`EpsfFit`).

    Parameters
    ----------
    folder : str
        Of the measurement.
    round_number : int
        Which round.
    psf_key : str
        Of which images (`ImageSource.psf_key`).
    of_tiles : sequence of str
        Names of what `hst_assets.photometry.psf.tile_task.find_bright_stars` left, by tile.
    output : str
        Name of the file to leave in the folder.
    """
    now = Measurement.load(Path(folder), round_number)
    prior = Measurement.load(Path(folder), 0).psfs[psf_key]
    shape = next(source.shape for source in now.sources if source.psf_key == psf_key)
    groups = _groups(now, Path(folder), psf_key, of_tiles)
    most = now.parameters.max_psf_stars
    chosen = _chosen(groups, shape, most)
    fitted = fit_epsf(_stamps_of(groups, chosen, Path(folder)), prior, shape=shape)
    if not fitted.n_used:
        faint = _chosen(groups, shape, most, faint=True)
        of_width = prior_of_width(_stamps_of(groups, faint, Path(folder)), prior)
        remark = f"{fitted.remark.removesuffix('prior PSF')}{of_width.remark}"
        fitted = replace(fitted, psf=of_width.psf, remark=remark)
    path = Path(folder) / output
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(pickle.dumps(fitted, protocol=pickle.HIGHEST_PROTOCOL))
    part.replace(path)


@dataclass(frozen=True, eq=False)
class _Group:
    """The stars of one image in one tile.

    Attributes
    ----------
    name : str
        Of what the tile left.
    at : int
        Number of the image among the tile's.
    told : BrightStars
        Of the tile, without pixels.
    """

    name: str
    at: int
    told: BrightStars

    def __len__(self) -> int:
        return len(self.told.stamps[self.at])


def _groups(now: Measurement, folder: Path, psf_key: str, of_tiles: Sequence[str]) -> list[_Group]:
    """All stars of a key, in the order of tiles and images."""
    groups = []
    for tile, name in zip(now.tiles, of_tiles, strict=True):
        told: BrightStars = pickle.loads((folder / name).read_bytes())  # noqa: S301 - our own file, in our scratch folder
        groups += [
            _Group(name, at, told)
            for at, source in enumerate(tile.images)
            if now.sources[source].psf_key == psf_key
        ]
    return groups


#: Stars that tell the prior's width may have this share of neighbours' light: a pair is wide.
_WIDTH_NEIGHBOURS = 0.2


def _chosen(
    groups: Sequence[_Group], shape: tuple[int, int], max_stars: int, *, faint: bool = False
) -> Indices:
    """Indices among the stars of all groups of those that make the PSF, in the order of choice."""
    stamps = joined_stamps([group.told.stamps[group.at] for group in groups])
    snr, share, saturated = (
        np.concatenate([getattr(group.told, name)[group.at] for group in groups])
        for name in ("snr", "neighbour_share", "saturated")
    )
    select = select_psf_stars
    if faint:  # where no PSF is made
        select = partial(
            select_psf_stars, min_snr=FAINT_SNR, max_neighbour_fraction=_WIDTH_NEIGHBOURS
        )
    return select(
        stamps.x, stamps.y, stamps.flux_e, snr, share, saturated, shape=shape, max_stars=max_stars
    )


def _stamps_of(groups: Sequence[_Group], chosen: Indices, folder: Path) -> StarStamps:
    """The stamps of chosen stars, in their order."""
    if not len(chosen):
        return groups[0].told.stamps[groups[0].at].of(chosen)
    in_turn = np.sort(chosen)
    parts = []
    first, name, stamps = 0, "", list[StarStamps]()
    for group in groups:
        wanted = in_turn[(in_turn >= first) & (in_turn < first + len(group))] - first
        first += len(group)
        if len(wanted):
            if group.name != name:
                name, stamps = group.name, load_stamps(folder, group.name)
            parts.append(stamps[group.at].of(wanted))
    return joined_stamps(parts).of(np.searchsorted(in_turn, chosen))

"""Where what DOLPHOT reads, its catalogue and artificial stars lie."""

from __future__ import annotations

from pathlib import Path

from hst_assets.workdir.folders import Folders

__all__ = ["PhotometryPaths"]


class PhotometryPaths(Folders):
    """Paths of the photometry of a target."""

    @property
    def dolphot_inputs(self) -> Path:
        """What DOLPHOT is to read, one row a chip (ECSV)."""
        return self.dolphot / "inputs.ecsv"

    def dolphot_chips(self, name: str) -> Path:
        """The table of the chips that were made of exposure file or reference image `name`."""
        return self.dolphot / "inputs" / f"{Path(name).stem}.chips.ecsv"

    def dolphot_chip(self, name: str, chip: int) -> Path:
        """Chip number `chip`, from 1 in the order of the file, of exposure or reference `name`."""
        return self.dolphot / "inputs" / f"{Path(name).stem}.chip{chip}.fits"

    @staticmethod
    def dolphot_sky(chip: Path) -> Path:
        """The sky of a chip's file, where DOLPHOT looks for it."""
        return chip.with_name(f"{chip.stem}.sky.fits")

    def dolphot_catalog(self, base: str) -> Path:
        """DOLPHOT's catalogue; the other files of its run begin with this name."""
        return self.dolphot / f"{base}0000"

    @property
    def star_catalog(self) -> Path:
        """Index of the catalogue of the target's stars (ECSV)."""
        return self.dolphot / "catalog.ecsv"

    def artificial_chunk(self, number: int) -> Path:
        """What was measured of one list of artificial stars; the list lies beside it."""
        return self.dolphot / "artificial" / f"chunk_{number:05d}.fake"

    @property
    def completeness(self) -> Path:
        """Completeness, bias and scatter against magnitude, filter by filter (ECSV)."""
        return self.dolphot / "completeness.ecsv"

    def surroundings(self, places: str) -> Path:
        """What the embedded photometer keeps of the surroundings of `places` (HDF5)."""
        return self.base / "light_curve" / f"surroundings_{places}.psf.h5"

    @property
    def artificial_stars(self) -> Path:
        """Every artificial star, with what was found of it (FITS table)."""
        return self.dolphot / "artificial_stars.fits"

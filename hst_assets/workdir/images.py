"""Where drizzled images, differences, pictures and their indexes lie."""

from __future__ import annotations

from pathlib import Path

from hst_assets.identifiers import validate_visit
from hst_assets.workdir.folders import Folders, prefix_of

__all__ = ["ImagePaths"]


class ImagePaths(Folders):
    """Paths of drizzled images and of what is made of them."""

    def visit_drizzle(self, visit: str, band: str) -> Path:
        """The drizzled epoch of one visit in `band` (``<inst>_<det>.<filter>``)."""
        return self.workspace / f"{validate_visit(visit)}.{band}.drc.fits"

    def visit_products(self, visit: str) -> Path:
        """Index of a visit's drizzled epochs (ECSV)."""
        return self.workspace / f"{validate_visit(visit)}_drizzles.ecsv"

    def epoch_stack(
        self, band: str, yymmdd: str, epoch: int, object_name: str | None = None
    ) -> Path:
        """The consolidated drizzle of one epoch, by the guide's name."""
        return self.drizzle / f"{prefix_of(object_name)}{band}.ut{yymmdd}_{epoch:04d}.drc.fits"

    def filter_stack(self, band: str, object_name: str | None = None) -> Path:
        """The drizzle of all epochs in `band`."""
        return self.drizzle / f"{prefix_of(object_name)}{band}.all.drc.fits"

    @property
    def stack_products(self) -> Path:
        """Index of the target's consolidated stacks (ECSV)."""
        return self.drizzle / "stacks.ecsv"

    def difference(
        self, band: str, epoch: int, template: int, object_name: str | None = None
    ) -> Path:
        """One epoch minus another in `band`."""
        name = f"{prefix_of(object_name)}{band}.diff_{epoch:04d}-{template:04d}.fits"
        return self.drizzle / name

    @property
    def difference_products(self) -> Path:
        """Index of the differences between epochs (ECSV)."""
        return self.drizzle / "differences.ecsv"

    def colour_image(self, detector_key: str, object_name: str | None = None) -> Path:
        """The colour picture of a detector's filters."""
        return self.drizzle / f"{prefix_of(object_name)}{detector_key}.colour.png"

    @property
    def colour_images(self) -> Path:
        """Index of the target's colour pictures (ECSV)."""
        return self.drizzle / "colours.ecsv"

    def visit_footprints(self, visit: str) -> Path:
        """Outlines of a visit's exposures, for DS9."""
        return self.workspace / f"{validate_visit(visit)}_footprints.reg"

    @property
    def target_footprints(self) -> Path:
        """Outlines of all exposures in the target's stacks, for DS9."""
        return self.drizzle / "footprints.reg"

"""Where the reference, its stars and the aligned exposures lie."""

from __future__ import annotations

import json
from pathlib import Path

from hst_assets.failures import MissingProduct
from hst_assets.identifiers import validate_visit
from hst_assets.workdir.folders import Folders, prefix_of

__all__ = ["AlignmentPaths"]


class AlignmentPaths(Folders):
    """Paths of the reference, of the star lists and of the alignment."""

    def aligned(self, name: str) -> Path:
        """The working copy of exposure file `name` with its WCS on the reference frame."""
        return self.workspace / Path(name).name

    def visit_alignment(self, visit: str) -> Path:
        """The alignment table of a visit: status, numbers and reason of each exposure."""
        return self.workspace / f"{validate_visit(visit)}_alignment.ecsv"

    @property
    def target_alignment(self) -> Path:
        """The alignment of all exposures with the star matches behind it (HDF5)."""
        return self.workspace / "alignment.h5"

    def exposure_matches(self, rootname: str) -> Path:
        """The matched stars of one exposure with their residuals."""
        return self.workspace / f"{rootname}_matches.ecsv"

    def star_list(self, name: str) -> Path:
        """The list of matched stars called `name`, beside the aligned exposure."""
        return self.workspace / Path(name).name

    def star_lists(self, rootname: str) -> list[Path]:
        """The lists of matched stars of an exposure that are there."""
        return sorted(self.workspace.glob(f"{rootname}_sci*.coo"))

    @property
    def absolute_catalog(self) -> Path:
        """Stars about the target with positions and motions of their own (ECSV)."""
        return self.workspace / "absolute_catalog.ecsv"

    @property
    def reference_catalog(self) -> Path:
        """The stars of the reference image, brightest first (ECSV)."""
        return self.workspace / "reference_catalog.ecsv"

    @property
    def reference_choice(self) -> Path:
        """Which image is the frame of everything, and what it was made of (JSON)."""
        return self.workspace / "reference.json"

    @property
    def reference_product(self) -> Path:
        """The image that the recorded choice names.

        The choice itself stands for an image of the user's own, beside which nothing is written,
        and while nothing has been chosen.

        Raises
        ------
        MissingProduct
            If the choice cannot be read.
        """
        try:
            choice = json.loads(self.reference_choice.read_bytes())
            user = choice.get("user")
            return self.reference_choice if user else self.absolute(choice["image"])
        except FileNotFoundError:
            return self.reference_choice
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MissingProduct(
                "the choice of the reference cannot be read",
                where=self.reference_choice,
                next_step="Remove this file, then materialize reference_image: it is written again",
            ) from error

    def reference_image(self, band: str, epoch: int, object_name: str | None = None) -> Path:
        """The reference image, at the base as in the guide: ``*.ref_<epoch>.drc.fits``."""
        return self.base / f"{prefix_of(object_name)}{band}.ref_{epoch:04d}.drc.fits"

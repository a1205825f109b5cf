"""Where light curves lie."""

from __future__ import annotations

from pathlib import Path

from hst_assets.workdir.folders import Folders

__all__ = ["LightCurvePaths"]


class LightCurvePaths(Folders):
    """Paths of the light curves of a target."""

    @property
    def light_curve(self) -> Path:
        """Every flux at the places of a target (ECSV); other formats lie beside it."""
        return self.base / "light_curve" / "light_curve.ecsv"

"""Where what is said of a counterpart lies."""

from __future__ import annotations

from pathlib import Path

from hst_assets.workdir.folders import Folders

__all__ = ["CounterpartPaths"]


class CounterpartPaths(Folders):
    """Paths of the search for a counterpart."""

    @property
    def counterpart(self) -> Path:
        """The candidates, one row each (ECSV)."""
        return self.base / "counterpart" / "counterpart.ecsv"

    @property
    def counterpart_photometry(self) -> Path:
        """Magnitudes and limits of candidates and position, band by band (ECSV)."""
        return self.counterpart.with_name("photometry.ecsv")

    @property
    def counterpart_figure(self) -> Path:
        """Stamps of every filter and epoch with the error circle (PNG)."""
        return self.counterpart.with_suffix(".png")

    @property
    def counterpart_verdict(self) -> Path:
        """The verdict in words (text)."""
        return self.counterpart.with_name("verdict.txt")

    @property
    def counterpart_methods(self) -> Path:
        """The paragraph on methods (text); the LaTeX table lies beside it (``methods.tex``)."""
        return self.counterpart.with_name("methods.txt")

"""Where the Hubble Advanced Products of a visit lie."""

from __future__ import annotations

from pathlib import Path

from hst_assets.identifiers import validate_visit
from hst_assets.workdir.folders import Folders

__all__ = ["HapPaths"]


class HapPaths(Folders):
    """Paths of the advanced products: under drizzlepac's names, with tables that list them."""

    def hap_visit(self, visit: str) -> Path:
        """The folder of a visit's advanced products."""
        return self.hap / validate_visit(visit)

    def hap_aligned_folder(self, visit: str) -> Path:
        """The exposures as the alignment left them, before cosmic rays are flagged in them."""
        return self.hap_visit(visit) / "aligned"

    def hap_pieces(self, visit: str) -> Path:
        """What the steps of a visit leave for each other."""
        return self.hap_visit(visit) / ".pieces"

    def hap_flt_folder(self, visit: str) -> Path:
        """WFPC2's exposures in the form that HAP takes (``flt``); of others they are in raw/."""
        return self.hap_visit(visit) / "flt"

    def hap_plan(self, visit: str) -> Path:
        """What is to be made of a visit, one row a product (ECSV)."""
        return self.hap_visit(visit) / "plan.ecsv"

    def hap_aligned_exposures(self, visit: str) -> Path:
        """The aligned exposures with their WCS (ECSV)."""
        return self.hap_visit(visit) / "aligned_exposures.ecsv"

    def hap_filter_products(self, visit: str) -> Path:
        """The images of filters (ECSV)."""
        return self.hap_visit(visit) / "filter_products.ecsv"

    def hap_exposure_products(self, visit: str) -> Path:
        """The images of exposures (ECSV)."""
        return self.hap_visit(visit) / "exposure_products.ecsv"

    def hap_total_products(self, visit: str) -> Path:
        """The images of all filters of a detector (ECSV)."""
        return self.hap_visit(visit) / "total_products.ecsv"

    def hap_point_catalogs(self, visit: str) -> Path:
        """The catalogues of sources that were found as points (ECSV)."""
        return self.hap_visit(visit) / "point_catalogs.ecsv"

    def hap_segment_catalogs(self, visit: str) -> Path:
        """The catalogues of sources that were found as islands (ECSV)."""
        return self.hap_visit(visit) / "segment_catalogs.ecsv"

    def hap_quality(self, visit: str) -> Path:
        """What came of each test of quality (ECSV)."""
        return self.hap_visit(visit) / "quality.ecsv"

    def hap_manifest(self, visit: str) -> Path:
        """The visit's products, one row each (ECSV)."""
        return self.hap_visit(visit) / "manifest.ecsv"

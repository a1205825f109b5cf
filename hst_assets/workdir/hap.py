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

    def hap_hla_comparison(self, visit: str) -> Path:
        """What was compared with the Hubble Legacy Archive (ECSV)."""
        return self.hap_visit(visit) / "hla_comparison.ecsv"

    def hap_quality(self, visit: str) -> Path:
        """The verdict on each kind of test of quality (ECSV)."""
        return self.hap_visit(visit) / "quality.ecsv"

    def hap_manifest(self, visit: str) -> Path:
        """The visit's products, one row each (ECSV)."""
        return self.hap_visit(visit) / "manifest.ecsv"

    def hap_page(self, visit: str) -> Path:
        """The page of a visit (HTML)."""
        return self.hap_visit(visit) / "visit.html"

    @property
    def hap_mosaics_folder(self) -> Path:
        """The mosaics of all visits, in a folder for each sky cell."""
        return self.hap / "mosaics"

    @property
    def hap_target_exposures(self) -> Path:
        """The exposures of all visits of which mosaics are made (ECSV)."""
        return self.hap_mosaics_folder / "exposures.ecsv"

    @property
    def hap_mosaics(self) -> Path:
        """Index of the mosaics (ECSV)."""
        return self.hap_mosaics_folder / "mosaics.ecsv"

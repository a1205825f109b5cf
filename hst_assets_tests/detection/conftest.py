"""The real exposures, for detection too."""

from hst_assets_tests.astrometry.conftest import real_data

__all__ = ["real_data"]

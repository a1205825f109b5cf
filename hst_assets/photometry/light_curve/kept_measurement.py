"""The measurement whose PSFs, shifts, sky and stars a light curve is measured with."""

from __future__ import annotations

from pathlib import Path

from hst_assets.detectors import DETECTORS
from hst_assets.failures import MissingProduct
from hst_assets.photometry.psf.catalog_run import KEPT, STAGE
from hst_assets.photometry.psf.measurement_file import MeasurementFile
from hst_assets.provenance import read_record
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["kept_measurement", "pixels_arcsec"]


def kept_measurement(workdir: WorkDir, settings: Settings) -> Path:
    """What the embedded photometer kept of the target's measurement.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its catalogue must exist.
    settings : Settings
        Section dolphot (the name of the catalogue).

    Raises
    ------
    MissingProduct
        If there is no catalogue, or the embedded photometer did not make it.
    """
    catalog = workdir.dolphot_catalog(settings.dolphot.base)
    record = read_record(catalog)
    if record is None:
        raise MissingProduct(
            "there is no catalogue yet", where=catalog, next_step="Materialize dolphot_catalog"
        )
    if record.recipe.get("stage") != STAGE:
        raise MissingProduct(
            "the catalogue is DOLPHOT's, which keeps nothing to measure at given places with",
            where=catalog,
            next_step='Set photometry.photometer = "embedded"',
        )
    return catalog.with_name(f"{catalog.name}{KEPT}")


def pixels_arcsec(measurement: MeasurementFile) -> list[float]:
    """Sides of a pixel of the detectors that a measurement is of."""
    keys = {image.psf_key.partition(" ")[0] for image in measurement.images}
    return sorted(DETECTORS[key].pixel_scale_arcsec for key in keys)

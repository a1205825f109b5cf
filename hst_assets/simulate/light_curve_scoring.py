"""What a light curve has of a simulated transient, epoch by epoch against the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.table import Row

from hst_assets.detectors import DETECTORS
from hst_assets.photometry.encircled_energy import WFPC2_RADIUS_ARCSEC
from hst_assets.photometry.light_curve.points import AB_ZERO_POINT_UJY
from hst_assets.products.columns import read_table
from hst_assets.simulate.catalog_scoring import simulated_wings_mag
from hst_assets.simulate.truth import CampaignTruth
from hst_assets.workdir import WorkDir

__all__ = ["EpochScore", "light_curve_scores"]


@dataclass(frozen=True)
class EpochScore:
    """An epoch of the transient by one method.

    Attributes
    ----------
    method : str
        What measured it.
    band : str
        Detector and filter.
    epoch : int
        Its number.
    flux_ujy, flux_error_ujy : float
        As measured, microjansky; of differences, relative to their template.
    true_flux_ujy : float
        Of the same, were it measured without an error.
    """

    method: str
    band: str
    epoch: int
    flux_ujy: float
    flux_error_ujy: float
    true_flux_ujy: float

    @property
    def pull(self) -> float:
        """Error over its estimate."""
        return (self.flux_ujy - self.true_flux_ujy) / self.flux_error_ujy


def light_curve_scores(
    workdir: WorkDir,
    truth: CampaignTruth,
    *,
    radius_arcsec: float,
    difference_radius_arcsec: float,
    model_pix: float = 0.0,
) -> list[EpochScore]:
    """Judge each epoch of the target's light curve that was measured.

    Fluxes are led from an aperture to all light by published tables of the real telescope, the
    simulated PSF has other wings: the truth is taken as such a measurement finds it.

    Parameters
    ----------
    workdir : WorkDir
        Whose light curve it is; its place is that of the transient.
    truth : CampaignTruth
        The campaign, with a transient.
    radius_arcsec : float
        Radius of the photometer's aperture: among WFPC2's exposures it is theirs for all.
    difference_radius_arcsec : float
        Radius of that of the differences (`embedded.aperture_radius_arcsec`); of WFPC2's it is that
        of its one known share.
    model_pix : float, optional
        Radius of the photometer's models of stars, pixels of the detector.
    """
    table = read_table(workdir.light_curve)
    of_target = (np.asarray(table["source"]) == 0) & (np.asarray(table["level"]) == "epoch")
    seen = table[of_target & (np.asarray(table["n_images"]) > 0)]
    epochs = _true_epochs(workdir, truth)
    templates = _templates(workdir)
    found = []
    for row in seen:
        # On differences no star is modelled.
        radius, model = (
            (difference_radius_arcsec, 0.0)
            if row["method"] == "difference"
            else (radius_arcsec, model_pix)
        )
        found.append(_score(row, epochs, templates, radius, model))
    return found


def _score(
    row: Row,
    epochs: Mapping[int, float],
    templates: Mapping[tuple[str, int], int],
    radius_arcsec: float,
    model_pix: float,
) -> EpochScore:
    detector, filter_name = str(row["detector"]), str(row["filter_name"])
    band, epoch = f"{detector}.{filter_name.lower()}", int(row["epoch"])
    expected = epochs[epoch]
    if row["method"] == "difference":
        expected -= epochs[templates[band, epoch]]
    wings = simulated_wings_mag(
        detector,
        filter_name,
        WFPC2_RADIUS_ARCSEC if detector == "wfpc2" else radius_arcsec,
        model_arcsec=model_pix * DETECTORS[detector].pixel_scale_arcsec,
    )
    return EpochScore(
        str(row["method"]),
        band,
        epoch,
        float(row["flux_ujy"].to_value(u.uJy)),
        float(row["flux_error_ujy"].to_value(u.uJy)),
        expected * 10.0 ** (0.4 * wings),
    )


def _true_epochs(workdir: WorkDir, truth: CampaignTruth) -> dict[int, float]:
    """Mean true flux of the exposures that are used, by epoch, microjansky."""
    light = {
        str(row["rootname"]): 10.0 ** (-0.4 * (float(row["magnitude"]) - AB_ZERO_POINT_UJY))
        for row in truth.transient
    }
    exposures = read_table(workdir.target_exposures)
    used = exposures[np.asarray(exposures["used"])]
    number = np.asarray(used["epoch"])
    return {
        int(epoch): float(
            np.average(
                [light.get(str(name), 0.0) for name in used["rootname"][number == epoch]],
                weights=used["exptime"][number == epoch].to_value(u.s),
            )
        )
        for epoch in np.unique(number)
    }


def _templates(workdir: WorkDir) -> dict[tuple[str, int], int]:
    """Number of the epoch that was subtracted, by band and epoch."""
    if not workdir.difference_products.is_file():
        return {}
    index = read_table(workdir.difference_products)
    return {(str(row["band"]), int(row["epoch"])): int(row["template"]) for row in index}

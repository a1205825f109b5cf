"""How faint a source could have been: by the local noise, and by artificial stars about the place.

The two limits answer two questions. By the local noise: a source at the limit has a forced flux of
3 (or 5) standard errors on the average; by chance, one empty place in 740 (or 3.5 million) has as
much. By artificial stars: of stars at the limit, half are found by the photometer, which does not
know where to look, and pass the cuts of the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from astropy.stats import mad_std
from numpy.typing import NDArray

from hst_assets.exposures.epochs import NO_EPOCH
from hst_assets.failures import MissingProduct
from hst_assets.photometry.artificial_stars.completeness import magnitude_limit
from hst_assets.photometry.dolphot.input_images import read_input_images
from hst_assets.photometry.light_curve.empty_places import empty_places
from hst_assets.photometry.light_curve.forced_points import exposure_times
from hst_assets.photometry.light_curve.kept_measurement import kept_measurement, pixels_arcsec
from hst_assets.photometry.light_curve.local_structure import places_about, structure_ujy
from hst_assets.photometry.light_curve.measured_places import (
    MeasuredPlaces,
    measure_places,
    reference_wcs,
)
from hst_assets.photometry.light_curve.points import Place, ab_mag
from hst_assets.photometry.light_curve.stars_about import (
    StarsAbout,
    measured_about,
    of_product_about,
)
from hst_assets.photometry.psf.forced import places_of
from hst_assets.photometry.psf.measurement_file import MeasurementFile
from hst_assets.settings import Settings
from hst_assets.sky_geometry import pixel_scale_arcsec
from hst_assets.workdir import WorkDir

__all__ = ["CompletenessLimit", "LocalNoise", "completeness_limits", "local_noise"]

Floats = NDArray[np.float64]

#: Fewer empty places tell no scatter; so many are measured.
_FEWEST_PLACES = 30
_N_PLACES = 60
#: Empty places are so many pixels of the coarsest detector apart, at least; and two fit radii and a
#: pixel of the finest.
_LEAST_STEP_PIX = 5.0
#: Artificial stars are so much brighter and fainter than five standard errors of the local noise.
_BRIGHTER_MAG, _FAINTER_MAG = 1.8, 1.4
_SHARE = 0.5
#: Radius of their circle where there is structure, such as a galaxy's.
_UPON_A_GALAXY_ARCSEC = 1.0


@dataclass(frozen=True, kw_only=True)
class LocalNoise:
    """How far fluxes of empty places about a place scatter.

    Attributes
    ----------
    source : int
        Number of the place.
    detector, filter_name : str
        The band: key of the detector, and filter.
    epoch : int
        Number of the epoch; `hst_assets.exposures.epochs.NO_EPOCH`: all of the band.
    n_places : int
        Empty places that were measured.
    scatter_ujy : float
        1.4826 times the median absolute deviation of their mean fluxes; NaN of fewer than 30.
    formal_ujy : float
        Median of the errors that their fluxes have; NaN of none.
    mean_ujy : float
        Median of their fluxes: light that no star explains; NaN of none.
    within_arcsec : float
        Distance of the farthest.
    structure_ujy : float
        Error by light close about the place itself that nothing explains, such as a galaxy's
        (`hst_assets.photometry.light_curve.local_structure`); 0 if there is none.
    note : str
        ``not measured: why``, or what is to be said; empty if nothing.
    """

    source: int
    detector: str
    filter_name: str
    epoch: int
    n_places: int
    scatter_ujy: float
    formal_ujy: float
    mean_ujy: float
    within_arcsec: float
    structure_ujy: float = 0.0
    note: str = ""

    @property
    def ratio(self) -> float:
        """Scatter over formal error; NaN if it was not measured."""
        return self.scatter_ujy / self.formal_ujy

    @property
    def sigma_ujy(self) -> float:
        """The larger of both, with the structure; NaN if the scatter was not measured."""
        of_noise = np.maximum(self.scatter_ujy, self.formal_ujy)
        return float(np.hypot(of_noise, self.structure_ujy))

    def limit_ujy(self, n_sigma: float) -> float:
        """Flux of so many standard errors; NaN if the scatter was not measured."""
        return n_sigma * self.sigma_ujy

    def limit_ab_mag(self, n_sigma: float) -> float:
        """Its AB magnitude."""
        return ab_mag(self.limit_ujy(n_sigma))


@dataclass(frozen=True, kw_only=True)
class CompletenessLimit:
    """How bright stars about a place are of which the photometer finds half.

    Attributes
    ----------
    source : int
        Number of the place.
    detector, filter_name : str
        The band: key of the detector, and filter.
    epoch : int
        `hst_assets.exposures.epochs.NO_EPOCH`: the catalogue is of all exposures.
    ab_mag, error_mag : float
        AB magnitude of all light, and its error by resampling the stars; NaN if not measured.
    n_stars : int
        Artificial stars that were put in.
    within_arcsec : float
        How far from the place they are at most.
    note : str
        ``not measured: why``, or where the stars are from.
    """

    source: int
    detector: str
    filter_name: str
    epoch: int
    ab_mag: float
    error_mag: float
    n_stars: int
    within_arcsec: float
    note: str = ""


def local_noise(
    workdir: WorkDir, settings: Settings, places: Sequence[Place], *, within_arcsec: float = 3.0
) -> list[LocalNoise]:
    """Measure the local noise about places, in every epoch and in all of every band.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its catalogue by the embedded photometer must exist.
    settings : Settings
        Sections dolphot (the name of the catalogue), dolphot_inputs, embedded and machine.
    places : sequence of Place
        Where.
    within_arcsec : float, optional
        Empty places are not farther away: the background is to be that of the place.

    Returns
    -------
    list of LocalNoise
        For each place all epochs of each band that was exposed there, then the whole band. Of a
        place that no exposure covers, each whole band, with a note.

    Raises
    ------
    MissingProduct, UnusableInput
        If what is needed is missing or damaged.
    MachineFailure
        If the child process did not get to its end.
    """
    if not places:
        return []
    kept = kept_measurement(workdir, settings, places)
    measurement = MeasurementFile.load(kept)
    wcs = reference_wcs(read_input_images(workdir))
    scale = pixel_scale_arcsec(wcs)
    x, y = places_of(
        np.array([place.ra_deg for place in places]),
        np.array([place.dec_deg for place in places]),
        wcs,
    )
    step = _step_arcsec(measurement) / scale
    about = [
        empty_places(
            at_x, at_y, measurement.x, measurement.y,
            step_pix=step, within_pix=within_arcsec / scale, n_places=_N_PLACES,
        )
        for at_x, at_y in zip(x, y, strict=True)
    ]  # fmt: skip
    finest_pix = min(pixels_arcsec(measurement)) / scale
    close = places_about(x, y, measurement.x, measurement.y, finest_pix=finest_pix)
    # The places themselves are fitted along: their light is no noise.
    all_x = np.concatenate([x, *(each[0] for each in (*about, *close))])
    all_y = np.concatenate([y, *(each[1] for each in (*about, *close))])
    sizes = [len(each[0]) for each in (*about, *close)]
    numbers = range(len(places))
    measured = measure_places(
        workdir, settings, kept, all_x, all_y,
        source_of=[*numbers, *np.repeat([*numbers, *numbers], sizes)],
        finest_pix=finest_pix,
    )  # fmt: skip
    groups = _groups(workdir, measured)
    rows = _slices(len(places), sizes)
    found = []
    for at, place in enumerate(places):
        if not np.any(measured.beyond_edge_pix[:, at] == 0):
            found += _nowhere(place, groups)
            continue
        far = np.hypot(about[at][0] - x[at], about[at][1] - y[at]).max(initial=0.0) * scale
        structures = {
            (str(detector), str(name)): structure_ujy(
                measured,
                np.flatnonzero((measured.detectors == detector) & (measured.filters == name)),
                rows[len(places) + at],
                flag_mask=settings.embedded.flag_mask,
            )
            for detector, name in {(key[0], key[1]) for key in groups}
        }
        for (detector, name, epoch), chips in groups.items():
            if np.any(measured.beyond_edge_pix[chips, at] == 0):
                fluxes = measured.means(chips, rows[at], settings.embedded.flag_mask)
                one = _noise(place, detector, name, epoch, fluxes, float(far))
                found.append(replace(one, structure_ujy=structures[detector, name]))
    return found


def _nowhere(place: Place, groups: Iterable[tuple[str, str, int]]) -> list[LocalNoise]:
    """What is said of a place that is on no chip: once for each band."""
    nothing: tuple[Floats, Floats] = np.empty(0), np.empty(0)
    return [
        replace(
            _noise(place, detector, name, epoch, nothing, 0.0),
            note="not measured: no exposure covers it",
        )
        for detector, name, epoch in groups
        if epoch == NO_EPOCH
    ]


def _slices(first: int, sizes: Sequence[int]) -> list[slice]:
    """Pieces of these sizes, one behind the other."""
    edges = first + np.concatenate([[0], np.cumsum(sizes, dtype=int)])
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def completeness_limits(
    workdir: WorkDir,
    settings: Settings,
    places: Sequence[Place],
    noise: Sequence[LocalNoise],
    *,
    n_stars: int = 500,
    within_arcsec: float = 3.0,
) -> list[CompletenessLimit]:
    """Which stars about places the photometer finds: limits of 50 % by artificial stars.

    A star is recovered by the rules of the asset `artificial_stars`, cuts of the catalogue
    included. The stars of that asset are taken where it has as many about a place.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its catalogue must exist.
    settings : Settings
        Sections artificial_stars, quality_cuts, dolphot (the name of the catalogue),
        dolphot_inputs, embedded and machine.
    places : sequence of Place
        Where.
    noise : sequence of LocalNoise
        Of the same places: about their limits stars are put in, in all bands at once, equally far
        from each band's.
    n_stars : int, optional
        Artificial stars about each place.
    within_arcsec : float, optional
        They are evenly strewn over a circle of this radius: the same background, the same crowding.
        Where there is structure about the place, such as a galaxy's, it is 1 arcsec at most.

    Returns
    -------
    list of CompletenessLimit
        For each place each band of `noise`; none for a place without a band. Nothing is
        extrapolated: where the stars do not lead from more than half to less, the limit is not
        measured, and the note says why.

    Raises
    ------
    MissingProduct, UnusableInput
        If what is needed is missing or damaged.
    MachineFailure
        If a child process did not get to its end.
    """
    wanted = [one for one in noise if one.epoch == NO_EPOCH]
    found: list[CompletenessLimit] = []
    for place in places:
        bands = {
            (one.detector, one.filter_name): one for one in wanted if one.source == place.source
        }
        if not bands:
            continue
        radius = _radius_arcsec(bands.values(), within_arcsec)
        about = {band: _middle_ab_mag(one) for band, one in bands.items()}
        stars, why = _stars_about(workdir, settings, place, about, n_stars, radius)
        found += [_limit(place, band, stars, radius, why) for band in bands]
    return found


def _stars_about(
    workdir: WorkDir,
    settings: Settings,
    place: Place,
    middle_ab_mag: Mapping[tuple[str, str], float],
    n_stars: int,
    radius: float,
) -> tuple[StarsAbout | None, str]:
    """The stars, and why a band has none."""
    try:
        stars = of_product_about(workdir, settings, place, n_stars=n_stars, within_arcsec=radius)
        if stars is None and not np.isfinite(list(middle_ab_mag.values())).any():
            return None, "the local noise, about which stars are put in, was not measured"
        stars = stars or measured_about(
            workdir,
            settings,
            place,
            middle_ab_mag,
            n_stars=n_stars,
            within_arcsec=radius,
            range_mag=(_BRIGHTER_MAG, _FAINTER_MAG),
        )
    except MissingProduct as failure:
        return None, failure.what
    return stars, "the catalogue does not have the band"


def _middle_ab_mag(noise: LocalNoise) -> float:
    """Five standard errors by the local noise; by the formal errors where it was not measured."""
    return ab_mag(5 * float(np.fmax(noise.scatter_ujy, noise.formal_ujy)))


def _radius_arcsec(bands: Iterable[LocalNoise], within_arcsec: float) -> float:
    """Upon a galaxy the background is that of the place only close about it."""
    upon = any(one.structure_ujy > one.formal_ujy for one in bands)
    return min(within_arcsec, _UPON_A_GALAXY_ARCSEC) if upon else within_arcsec


def _limit(
    place: Place,
    band: tuple[str, str],
    stars: StarsAbout | None,
    within_arcsec: float,
    why: str,
) -> CompletenessLimit:
    of_band = None if stars is None else stars.bands.get(band)
    if stars is None or of_band is None or len(of_band.true_ab_mag) == 0:
        limit, error, n_stars, note = np.nan, np.nan, 0, f"not measured: {why}"
    else:
        n_stars = len(of_band.true_ab_mag)
        told = magnitude_limit(of_band.true_ab_mag, of_band.recovered, _SHARE)
        limit, error = told.magnitude, told.error
        note = f"not measured: {told.note}" if told.note else stars.origin
    return CompletenessLimit(
        source=place.source,
        detector=band[0],
        filter_name=band[1],
        epoch=NO_EPOCH,
        ab_mag=limit,
        error_mag=error,
        n_stars=n_stars,
        within_arcsec=within_arcsec,
        note=note,
    )


def _step_arcsec(measurement: MeasurementFile) -> float:
    """Distance between empty places."""
    pixels = pixels_arcsec(measurement)
    apart = 2 * measurement.parameters.fit.fit_radius_pix + 1
    return max(apart * min(pixels), _LEAST_STEP_PIX * max(pixels))


def _groups(
    workdir: WorkDir, measured: MeasuredPlaces
) -> dict[tuple[str, str, int], NDArray[np.int64]]:
    """The chips of each epoch of each band, and of the whole band."""
    times = exposure_times(workdir, measured)
    chips_of: dict[tuple[str, str, int], list[int]] = {}
    for chip, root in enumerate(measured.exposures.tolist()):
        band = str(measured.detectors[chip]), str(measured.filters[chip])
        for epoch in dict.fromkeys((times[root].epoch, NO_EPOCH)):
            chips_of.setdefault((*band, epoch), []).append(chip)
    ordered = sorted(chips_of, key=lambda key: (key[0], key[1], key[2] == NO_EPOCH, key[2]))
    return {key: np.array(chips_of[key]) for key in ordered}


def _noise(
    place: Place,
    detector: str,
    filter_name: str,
    epoch: int,
    fluxes: tuple[Floats, Floats],
    within_arcsec: float,
) -> LocalNoise:
    flux, error = fluxes
    enough = len(flux) >= _FEWEST_PLACES
    return LocalNoise(
        source=place.source,
        detector=detector,
        filter_name=filter_name,
        epoch=epoch,
        n_places=len(flux),
        scatter_ujy=float(mad_std(flux)) if enough else np.nan,
        formal_ujy=float(np.median(error)) if len(error) else np.nan,
        mean_ujy=float(np.median(flux)) if len(flux) else np.nan,
        within_arcsec=within_arcsec,
        note=""
        if enough
        else f"not measured: {len(flux)} empty places within {within_arcsec:.1f} arcsec, "
        f"{_FEWEST_PLACES} are needed",
    )

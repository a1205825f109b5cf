"""Ready-made campaigns: the demo, and tiny ones for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from hst_assets.detectors import DETECTORS
from hst_assets.failures import BadConfiguration
from hst_assets.simulate.campaign import (
    CampaignPlan,
    ScenePlan,
    Subarray,
    Transient,
    VisitPlan,
)

__all__ = [
    "DEMO_MJD",
    "PROGENITOR_MAG",
    "demo_plan",
    "epochs_plan",
    "small_plan",
    "two_decades_plan",
]

DEMO_MJD = 57210.25
#: AB magnitude at 8000 A of the star that explodes in `two_decades_plan`, until it does.
PROGENITOR_MAG = 22.4


class _Small(NamedTuple):
    """What a small exposure of a detector is, and the sky that it and its dithers see."""

    subarray: Subarray | None
    scene: ScenePlan
    filters: tuple[str, ...]
    exptime_s: float


_SMALL = {
    "wfc3_uvis": _Small(
        Subarray(1000, 800, 512, 512),
        ScenePlan(18.0, 420, (19.0, 25.0), n_isolated=26, n_galaxies=6),
        ("F606W",),
        300.0,
    ),
    "wfc3_ir": _Small(
        Subarray(251, 251, 512, 512),
        ScenePlan(
            48.0, 420, (18.5, 24.0), n_isolated=20, isolated_magnitudes=(18.8, 20.0), n_galaxies=12
        ),
        ("F110W",),
        100.0,
    ),
    "acs_wfc": _Small(
        Subarray(1000, 800, 512, 512),
        ScenePlan(21.0, 480, (19.0, 25.0), n_isolated=30, n_galaxies=6),
        ("F606W",),
        300.0,
    ),
    "acs_hrc": _Small(
        Subarray(256, 256, 512, 512),
        ScenePlan(
            13.0,
            320,
            (18.0, 23.5),
            n_isolated=24,
            isolated_magnitudes=(18.6, 20.0),
            isolation_arcsec=1.8,
            n_galaxies=3,
        ),
        ("F606W",),
        300.0,
    ),
    "wfpc2": _Small(
        None,
        ScenePlan(
            115.0,
            2600,
            (17.0, 23.5),
            n_isolated=60,
            isolated_magnitudes=(17.5, 19.0),
            n_galaxies=30,
        ),
        ("F606W",),
        160.0,
    ),
}
_LETTERS = {"WFC3": "i", "ACS": "j", "WFPC2": "u"}


def small_plan(
    detector_key: str,
    *,
    filters: tuple[str, ...] | None = None,
    n_exposures: int = 2,
    exptime_s: float | None = None,
    pointing_error_arcsec: tuple[float, float] = (0.12, -0.08),
    visit: str | None = None,
    mjd: float = DEMO_MJD,
    full_frame: bool = False,
    seed: int = 5,
) -> CampaignPlan:
    """One visit small enough for a test: 512 x 512 pixels (WFPC2: its four chips).

    Parameters
    ----------
    detector_key : str
        Key of `hst_assets.detectors.DETECTORS`.
    filters : tuple of str, optional
        One filter unless given.
    n_exposures : int
        Exposures in each filter.
    exptime_s : float, optional
        Exposure time of each.
    pointing_error_arcsec : tuple of float
        True minus header pointing of the visit, (east, north).
    visit : str, optional
        Visit id.
    mjd : float
        When it begins.
    full_frame : bool
        All chips instead of a subarray; the sky is no larger for it.
    seed : int
        Seed of sky and chance.

    Raises
    ------
    BadConfiguration
        If there is no such detector.
    """
    if detector_key not in _SMALL:
        raise BadConfiguration(
            f"no detector {detector_key!r}", next_step=f"Known: {', '.join(_SMALL)}"
        )
    letter, small = _LETTERS[DETECTORS[detector_key].instrument], _SMALL[detector_key]
    visit_plan = VisitPlan(
        visit=visit or f"{letter}sim01",
        detector_key=detector_key,
        filters=filters or small.filters,
        n_exposures=n_exposures,
        exptime_s=exptime_s or small.exptime_s,
        mjd=mjd,
        subarray=None if full_frame else small.subarray,
        dither_arcsec=0.6,
        pointing_error_arcsec=pointing_error_arcsec,
    )
    return CampaignPlan(
        name=f"small-{detector_key.replace('_', '-')}",
        ra_deg=150.1,
        dec_deg=2.2,
        visits=(visit_plan,),
        scene=small.scene,
        seed=seed,
    )


#: Wider than the small exposures, where these have hardly a hundred stars.
_WIDER_SUBARRAYS = {
    "wfc3_uvis": Subarray(1000, 800, 768, 768),
    "acs_wfc": Subarray(1000, 800, 640, 640),
    "acs_hrc": None,
}
_WIDER_RADII_ARCSEC = {"wfc3_uvis": 26.0, "acs_wfc": 26.0, "acs_hrc": 22.0}
_SECOND_FILTERS = {"wfc3_ir": "F160W"}


def epochs_plan(detector_key: str, *, seed: int = 11) -> CampaignPlan:
    """Two filters at two epochs, 40 days and 12 degrees of roll apart: alignment's accuracy.

    Every exposure sees more than a hundred stars. The epochs' pointings are wrong by 0.07 and
    0.39 arcsec, in different directions, and their rolls by 0.002 and 0.004 degrees.

    Parameters
    ----------
    detector_key : str
        Key of `hst_assets.detectors.DETECTORS`.
    seed : int
        Seed of sky and chance.

    Raises
    ------
    BadConfiguration
        If there is no such detector.
    """
    small = small_plan(detector_key, seed=seed)
    radius = _WIDER_RADII_ARCSEC.get(detector_key, small.scene.radius_arcsec)
    wider = (radius / small.scene.radius_arcsec) ** 2
    scene = replace(
        small.scene,
        radius_arcsec=radius,
        n_stars=round(small.scene.n_stars * wider),
        n_isolated=round(small.scene.n_isolated * wider),
    )
    (visit,) = small.visits
    subarray = _WIDER_SUBARRAYS.get(detector_key, visit.subarray)
    filters = (*visit.filters, _SECOND_FILTERS.get(detector_key, "F814W"))
    first = replace(
        visit,
        filters=filters,
        subarray=subarray,
        pointing_error_arcsec=(0.05, -0.05),
        roll_error_deg=0.002,
    )
    second = replace(
        first,
        visit=f"{visit.visit[:-2]}02",
        mjd=visit.mjd + 40.0,
        pa_v3_deg=visit.pa_v3_deg + 12.0,
        pointing_error_arcsec=(-0.24, 0.31),
        roll_error_deg=-0.004,
    )
    return replace(
        small,
        name=f"epochs-{detector_key.replace('_', '-')}",
        visits=(first, second),
        scene=scene,
    )


def demo_plan() -> CampaignPlan:
    """A transient seen by three visits: WFC3/UVIS twice, 40 days apart, then WFC3/IR.

    Pointing errors between the visits are 0.05 to 0.4 arcsec.
    """
    uvis = Subarray(1400, 500, 1024, 1024)
    return CampaignPlan(
        name="demo-sn",
        ra_deg=184.7403,
        dec_deg=29.2753,
        visits=(
            VisitPlan(
                visit="idem01",
                detector_key="wfc3_uvis",
                filters=("F606W", "F814W"),
                n_exposures=2,
                exptime_s=350.0,
                mjd=DEMO_MJD,
                pa_v3_deg=40.0,
                subarray=uvis,
                pointing_error_arcsec=(0.05, -0.03),
                roll_error_deg=0.001,
            ),
            VisitPlan(
                visit="idem02",
                detector_key="wfc3_uvis",
                filters=("F814W",),
                n_exposures=2,
                exptime_s=350.0,
                mjd=DEMO_MJD + 40.0,
                pa_v3_deg=52.0,
                subarray=uvis,
                pointing_error_arcsec=(-0.22, 0.28),
                roll_error_deg=-0.003,
            ),
            VisitPlan(
                visit="idem03",
                detector_key="wfc3_ir",
                filters=("F110W",),
                n_exposures=3,
                exptime_s=150.0,
                mjd=DEMO_MJD + 41.0,
                pa_v3_deg=52.0,
                subarray=Subarray(251, 251, 512, 512),
                pointing_error_arcsec=(0.17, 0.10),
                roll_error_deg=0.002,
            ),
        ),
        scene=ScenePlan(
            radius_arcsec=46.0,
            n_stars=1550,
            magnitudes=(19.5, 25.5),
            slope=0.20,
            n_isolated=76,
            isolated_magnitudes=(19.4, 20.8),
            n_galaxies=25,
        ),
        transient=Transient(
            east_arcsec=1.7,
            north_arcsec=-2.3,
            light_curve=(
                (DEMO_MJD - 5.0, 23.6),
                (DEMO_MJD + 12.0, 21.2),
                (DEMO_MJD + 38.0, 20.4),
                (DEMO_MJD + 80.0, 21.6),
            ),
            colour=0.2,
        ),
        seed=20150708,
    )


def two_decades_plan() -> CampaignPlan:
    """A star of 1999 and 2004 that explodes in 2012 and is gone in 2019.

    WFPC2, then ACS/WFC, then WFC3/UVIS and IR, then WFC3/UVIS: five visits of one field with rolls
    of their own, aimed at places up to 8 arcsec apart, with pointing errors of 0.1 to 0.5 arcsec.
    """
    uvis = Subarray(1400, 500, 1024, 1024)
    first = VisitPlan(
        visit="u5aa01",
        detector_key="wfpc2",
        filters=("F606W", "F814W"),
        n_exposures=2,
        exptime_s=500.0,
        mjd=51299.3,
        pa_v3_deg=310.0,
        offset_arcsec=(6.0, -5.0),
        pointing_error_arcsec=(0.31, -0.38),
        roll_error_deg=0.004,
    )
    second = VisitPlan(
        visit="j8bb01",
        detector_key="acs_wfc",
        filters=("F606W", "F814W"),
        n_exposures=2,
        exptime_s=400.0,
        mjd=53126.1,
        pa_v3_deg=85.0,
        subarray=Subarray(1000, 800, 1024, 1024),
        offset_arcsec=(-4.0, 3.0),
        pointing_error_arcsec=(0.12, 0.20),
        roll_error_deg=-0.002,
    )
    third = VisitPlan(
        visit="ibcc01",
        detector_key="wfc3_uvis",
        filters=("F606W", "F814W"),
        n_exposures=2,
        exptime_s=350.0,
        mjd=56048.6,
        pa_v3_deg=40.0,
        subarray=uvis,
        pointing_error_arcsec=(0.05, -0.10),
        roll_error_deg=0.001,
    )
    infrared = VisitPlan(
        visit="ibcc02",
        detector_key="wfc3_ir",
        filters=("F110W",),
        n_exposures=3,
        exptime_s=150.0,
        mjd=56049.6,
        pa_v3_deg=40.0,
        subarray=Subarray(251, 251, 512, 512),
        offset_arcsec=(2.0, 2.0),
        pointing_error_arcsec=(-0.17, 0.10),
        roll_error_deg=0.002,
    )
    last = replace(
        third,
        visit="idcc01",
        filters=("F814W",),
        mjd=58604.2,
        pa_v3_deg=200.0,
        offset_arcsec=(3.0, -2.0),
        pointing_error_arcsec=(0.22, 0.16),
        roll_error_deg=-0.003,
    )
    return CampaignPlan(
        name="two-decades",
        ra_deg=210.8024,
        dec_deg=54.3488,
        visits=(first, second, third, infrared, last),
        scene=ScenePlan(
            radius_arcsec=75.0,
            n_stars=4100,
            magnitudes=(18.5, 25.0),
            slope=0.20,
            n_isolated=120,
            isolated_magnitudes=(18.5, 20.3),
            n_galaxies=40,
        ),
        transient=Transient(
            east_arcsec=1.1,
            north_arcsec=2.6,
            light_curve=(
                (50000.0, PROGENITOR_MAG),
                (56030.0, PROGENITOR_MAG),
                (56045.0, 19.6),
                (56060.0, 20.1),
            ),
            colour=0.3,
        ),
        seed=1999,
    )

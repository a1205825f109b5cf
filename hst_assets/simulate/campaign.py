"""Simulate a campaign: several visits to one field, written as calibrated exposures.

The same plan gives the same bytes again: chance comes from its seed and the rootnames alone.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hst_assets.detectors import DETECTORS
from hst_assets.failures import BadConfiguration, HstAssetsError
from hst_assets.identifiers import validate_visit
from hst_assets.simulate.bands import band_of
from hst_assets.simulate.exposure import ExposurePlan, render_exposure
from hst_assets.simulate.geometry import Pointing, Subarray, chip_views
from hst_assets.simulate.headers import exposure_files
from hst_assets.simulate.scene import Scene, ScenePlan, Transient, make_scene
from hst_assets.simulate.truth import (
    CampaignTruth,
    write_exposure_truth,
    write_exposures,
    write_scene,
    write_transient,
)
from hst_assets.workdir import write_atomically

__all__ = [
    "CampaignPlan",
    "ScenePlan",
    "Subarray",
    "Transient",
    "VisitPlan",
    "exposure_plans",
    "load_plan",
    "save_plan",
    "simulate_campaign",
]

logger = logging.getLogger(__name__)

_OVERHEAD_S = 120.0
_RENDER_TIMEOUT_S = 1800.0
#: A box with sub-pixel steps, in units of the visit's dither (east, north).
_DITHER_PATTERN = (
    (0.0, 0.0),
    (1.0, 0.531),
    (0.527, 1.0),
    (-0.519, 0.483),
    (1.477, -0.731),
    (-1.0, -1.0),
)
_SMALL_STEP_ARCSEC = (0.013, 0.021)


@dataclass(frozen=True)
class VisitPlan:
    """One visit: one detector, some filters, some exposures in each.

    Attributes
    ----------
    visit : str
        IPPPSS, such as ``iaaa01``; its first letter is the instrument's.
    detector_key : str
        Key of `hst_assets.detectors.DETECTORS`.
    filters : tuple of str
        In the order in which they are used.
    n_exposures : int
        Exposures in each filter.
    exptime_s : float
        Exposure time of each.
    mjd : float
        MJD at which the first begins.
    pa_v3_deg : float
        PA_V3.
    subarray : Subarray, optional
        The part read out.
    offset_arcsec : tuple of float
        Where the visit aims, east and north of the field's centre.
    dither_arcsec : float
        Size of the dither pattern.
    pointing_error_arcsec : tuple of float
        True minus header pointing of the visit, (east, north).
    roll_error_deg : float
        True minus header PA_V3 of the visit.
    jitter_arcsec : float
        RMS, per axis, of a further error of each exposure.
    expflag : str
        EXPFLAG.
    proposal_id : int
        PROPOSID.
    noise, cosmic_rays, defects : bool
        See `hst_assets.simulate.sensor.read_out`.
    """

    visit: str
    detector_key: str
    filters: tuple[str, ...]
    n_exposures: int
    exptime_s: float
    mjd: float
    pa_v3_deg: float = 40.0
    subarray: Subarray | None = None
    offset_arcsec: tuple[float, float] = (0.0, 0.0)
    dither_arcsec: float = 1.5
    pointing_error_arcsec: tuple[float, float] = (0.0, 0.0)
    roll_error_deg: float = 0.0
    jitter_arcsec: float = 0.01
    expflag: str = "NORMAL"
    proposal_id: int = 15999
    noise: bool = True
    cosmic_rays: bool = True
    defects: bool = True


@dataclass(frozen=True)
class CampaignPlan:
    """Everything that decides the bytes of a campaign.

    Attributes
    ----------
    name : str
        TARGNAME.
    ra_deg, dec_deg : float
        The field's centre: the target.
    visits : tuple of VisitPlan
        The visits.
    scene : ScenePlan
        What is in the sky.
    transient : Transient, optional
        A source that comes and goes.
    seed : int
        The same seed gives the same campaign.
    """

    name: str
    ra_deg: float
    dec_deg: float
    visits: tuple[VisitPlan, ...]
    scene: ScenePlan = field(default_factory=ScenePlan)
    transient: Transient | None = None
    seed: int = 1


def exposure_plans(plan: CampaignPlan) -> list[ExposurePlan]:
    """The exposures of a campaign, in the order of its visits.

    Raises
    ------
    BadConfiguration
        If a visit has no valid name or appears twice, or its detector, filter or subarray
        cannot be simulated.
    """
    twice = [visit for visit, n in Counter(v.visit for v in plan.visits).items() if n > 1]
    if twice:
        raise BadConfiguration("visit planned twice", where=twice[0])
    return [exposure for visit in plan.visits for exposure in _of_visit(plan, visit)]


def _of_visit(plan: CampaignPlan, visit: VisitPlan) -> list[ExposurePlan]:
    _check_visit(visit)
    field_centre = Pointing(plan.ra_deg, plan.dec_deg, visit.pa_v3_deg)
    exposures = []
    for index in range(len(visit.filters) * visit.n_exposures):
        in_filter, filter_index = index % visit.n_exposures, index // visit.n_exposures
        step = np.array(_DITHER_PATTERN[in_filter % len(_DITHER_PATTERN)]) * visit.dither_arcsec
        aim = np.add(visit.offset_arcsec, step) + index * np.array(_SMALL_STEP_ARCSEC)
        rootname = f"{visit.visit}{_two_characters(index)}q"
        rng = np.random.default_rng([plan.seed, 2, *rootname.encode()])
        error = np.add(visit.pointing_error_arcsec, rng.normal(0.0, visit.jitter_arcsec, 2))
        exposures.append(
            ExposurePlan(
                rootname=rootname,
                detector_key=visit.detector_key,
                filter_name=visit.filters[filter_index],
                exptime_s=visit.exptime_s,
                mjd=visit.mjd + index * (visit.exptime_s + _OVERHEAD_S) / 86400.0,
                pointing=field_centre.displaced(float(aim[0]), float(aim[1])),
                error_arcsec=(float(error[0]), float(error[1])),
                roll_error_deg=visit.roll_error_deg,
                target_name=plan.name.upper(),
                target=(plan.ra_deg, plan.dec_deg),
                subarray=visit.subarray,
                expflag=visit.expflag,
                proposal_id=visit.proposal_id,
                seed=plan.seed,
                noise=visit.noise,
                cosmic_rays=visit.cosmic_rays,
                defects=visit.defects,
            )
        )
    return exposures


def _check_visit(visit: VisitPlan) -> None:
    validate_visit(visit.visit)
    for filter_name in visit.filters:
        band_of(visit.detector_key, filter_name)
    chip_views(visit.detector_key, visit.subarray)
    letter = {"WFC3": "i", "ACS": "j", "WFPC2": "u"}[DETECTORS[visit.detector_key].instrument]
    if not visit.visit.startswith(letter):
        raise BadConfiguration(
            f"visits of {visit.detector_key} begin with {letter!r}", where=visit.visit
        )
    if not visit.filters or visit.n_exposures < 1 or visit.exptime_s <= 0:
        raise BadConfiguration("a visit needs filters, exposures and time", where=visit.visit)


def _two_characters(index: int) -> str:
    """OO of a rootname: a0, a1, ... az, b0, ..."""
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    return digits[10 + index // 36] + digits[index % 36]


def simulate_campaign(plan: CampaignPlan, output: Path, *, max_cores: int = 1) -> CampaignTruth:
    """Write the exposures of a campaign, and the truth about them.

    ``<output>/exposures`` gets the FITS files, ``<output>/truth`` what
    `hst_assets.simulate.truth` reads.

    Parameters
    ----------
    plan : CampaignPlan
        What to simulate.
    output : `~pathlib.Path`
        Folder to write to; created if need be.
    max_cores : int
        With more than one, exposures are rendered in child processes.

    Raises
    ------
    BadConfiguration
        If the plan cannot be simulated.
    """
    exposures = exposure_plans(plan)
    truth = CampaignTruth(output)
    truth.exposure_folder.mkdir(parents=True, exist_ok=True)
    truth.folder.mkdir(parents=True, exist_ok=True)
    save_plan(plan, truth.plan_file)
    scene = _scene_of(plan)
    write_scene(truth, scene, exposures)
    write_exposures(truth, exposures)
    if max_cores > 1:
        _render_in_children(truth, exposures, max_cores)
    else:
        for exposure in exposures:
            _render(truth, exposure, scene, plan.transient)
    write_transient(truth, exposures, plan.transient)
    return truth


def _scene_of(plan: CampaignPlan) -> Scene:
    clear = []
    if plan.transient is not None:
        clear.append((plan.transient.east_arcsec, plan.transient.north_arcsec))
    return make_scene(plan.scene, plan.ra_deg, plan.dec_deg, seed=plan.seed, keep_clear=clear)


def _render(
    truth: CampaignTruth, exposure: ExposurePlan, scene: Scene, transient: Transient | None
) -> None:
    logger.info("simulating %s", exposure.rootname)
    rendered = render_exposure(exposure, scene, transient)
    for name, content in exposure_files(rendered).items():
        with write_atomically(truth.exposure_folder / name) as part:
            part.write_bytes(content)
    write_exposure_truth(truth, rendered)


def _render_in_children(
    truth: CampaignTruth, exposures: list[ExposurePlan], max_cores: int
) -> None:
    from hst_assets.isolation import Call, run_many_isolated

    with tempfile.TemporaryDirectory(prefix="simulate-") as folder:
        calls = []
        for exposure in exposures:
            scratch = Path(folder) / exposure.rootname
            scratch.mkdir()
            arguments = {"output": str(truth.root.absolute()), "rootname": exposure.rootname}
            calls.append(Call(arguments, scratch, Path(folder) / f"{exposure.rootname}.log"))
        outcomes = run_many_isolated(
            f"{__name__}:render_planned", calls, timeout_s=_RENDER_TIMEOUT_S, max_cores=max_cores
        )
    for outcome in outcomes:
        if isinstance(outcome, HstAssetsError):
            raise outcome


def render_planned(output: str, rootname: str) -> None:
    """Render one exposure of the plan that lies in a campaign's folder (in a child process)."""
    truth = CampaignTruth(Path(output))
    plan = load_plan(truth.plan_file)
    exposure = next(one for one in exposure_plans(plan) if one.rootname == rootname)
    _render(truth, exposure, _scene_of(plan), plan.transient)


# --------------------------------------------------------------------------- plans on disk


def save_plan(plan: CampaignPlan, path: Path) -> None:
    """Write a plan as JSON."""
    with write_atomically(path) as part:
        part.write_text(json.dumps(asdict(plan), indent=1) + "\n")


def load_plan(path: Path) -> CampaignPlan:
    """Read a plan back.

    Raises
    ------
    BadConfiguration
        If the file is no plan.
    """
    try:
        values = json.loads(path.read_text())
        values["visits"] = tuple(_visit_from(visit) for visit in values["visits"])
        values["scene"] = ScenePlan(**_tuples(values["scene"]))
        if values["transient"] is not None:
            values["transient"] = Transient(**_tuples(values["transient"]))
        return CampaignPlan(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise BadConfiguration(f"not the plan of a campaign: {error}", where=path) from error


def _visit_from(values: Mapping[str, Any]) -> VisitPlan:
    fields = _tuples(values)
    if fields["subarray"] is not None:
        fields["subarray"] = Subarray(**fields["subarray"])
    return VisitPlan(**fields)


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples they were."""
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value

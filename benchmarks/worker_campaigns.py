"""What workers process in `many_workers.py`: visits of one field, or the demo's campaign."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from disturbed_runs import command, said

from hst_assets.cli.demo import HAP_STARS, HAP_VISIT, demo_settings, place_of_transient
from hst_assets.machine.core_pool import POOL_VARIABLE
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.settings import write_settings
from hst_assets.simulate.campaign import CampaignPlan, Transient, simulate_campaign
from hst_assets.simulate.plans import demo_plan, small_plan
from hst_assets.simulate.truth import CampaignTruth
from hst_assets.workdir import WorkDir

__all__ = [
    "CAMPAIGNS",
    "Campaign",
    "demo_on_one_machine",
    "made_on_one_machine",
    "simulated_visits",
]

#: The visits are so far apart (d): each is an epoch.
_BETWEEN_VISITS_D = 10.0
#: Where the object is from the centre of the field (arcsec, east and north), and how bright: it
#: rises within the last ten days.
_OBJECT_AT, _BEFORE_MAG, _PEAK_MAG = (1.7, -2.3), 25.0, 22.0
#: Artificial stars: few, for each is measured in all exposures.
_N_ARTIFICIAL = 100
#: A destination would be one more service; publishing has tests of its own.
_WITHOUT_PUBLICATION = [
    level for level in ASSETS.levels_from_raw if level.wanted != "publish.destination"
]

Sections = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Campaign:
    """Exposures of a target, with the levels that are made of them.

    Attributes
    ----------
    target : str
        Its name.
    plan : CampaignPlan
        What is simulated.
    settings : callable
        Sections that are not as they are by default, of what was simulated.
    levels : tuple of str
        Whose sensors are started.
    launched : tuple of tuple of str
        Jobs and partitions that somebody launches when the sensors' runs have ended.
    star_column : str
        Of the true stars, which stands for Gaia's magnitude.
    """

    target: str
    plan: CampaignPlan
    settings: Callable[[CampaignTruth], Sections]
    levels: tuple[str, ...]
    launched: tuple[tuple[str, str], ...] = ()
    star_column: str = "ab_wfc3_ir_f110w"

    def simulated(self, folder: Path) -> CampaignTruth:
        """The campaign in a folder; it is not simulated again."""
        truth = CampaignTruth(folder)
        is_whole = (truth.folder / "transient.ecsv").is_file()  # written last
        return truth if is_whole else simulate_campaign(self.plan, folder, max_cores=2)


def _made_by_default(n_visits: int) -> Campaign:
    """Visits of one field, with the levels that need no wish."""
    levels = tuple(level.job for level in ASSETS.levels_from_raw if not level.wanted)
    return Campaign("field", _visits_plan(n_visits), lambda _: {}, levels)


def _all_levels(n_visits: int) -> Campaign:
    """The same visits with an object in the field, and every level that can be wished for."""
    plan = _visits_plan(n_visits)
    last = plan.visits[-1].mjd
    shines = ((plan.visits[0].mjd - 5, _BEFORE_MAG), (last - 9, _BEFORE_MAG), (last, _PEAK_MAG))
    east, north = _OBJECT_AT
    plan = replace(plan, transient=Transient(east, north, (*shines, (last + 50, _PEAK_MAG))))

    def settings(truth: CampaignTruth) -> Sections:
        place = place_of_transient(truth)
        return {
            "photometry": {"make": True, "photometer": "embedded", "artificial_stars": True},
            "artificial_stars": {"n_stars": _N_ARTIFICIAL},
            "light_curve": place,
            # On the difference the object's own core counts as a star's: two exposures are few.
            "counterpart": place | {"measured_on": n_visits, "on_difference": False},
            "hap": {"make": True, "quality": True, "mosaics": True},
        }

    return Campaign("field", plan, settings, tuple(level.job for level in _WITHOUT_PUBLICATION))


def _demo(_n_visits: int) -> Campaign:
    """What ``hst-assets demo`` makes: the advanced products are those of one visit, by hand."""
    plan = demo_plan()
    levels = [level for level in _WITHOUT_PUBLICATION if not level.wanted.startswith("hap.")]
    by_hand = [level for level in _WITHOUT_PUBLICATION if level.wanted == "hap.make"]
    return Campaign(
        plan.name,
        plan,
        demo_settings,
        tuple(level.job for level in levels),
        tuple((level.job, f"{plan.name}/{HAP_VISIT}") for level in by_hand),
        HAP_STARS,
    )


CAMPAIGNS = {"visits": _made_by_default, "all-levels": _all_levels, "demo": _demo}


def demo_on_one_machine(folder: Path) -> CampaignTruth:
    """The campaign as ``hst-assets demo`` makes it below a folder, if it is not there yet.

    Raises
    ------
    RuntimeError
        If the command failed.
    """
    _once(folder, ("demo",), {})
    return CampaignTruth(folder / "root" / "simulated" / demo_plan().name)


def made_on_one_machine(campaign: Campaign, truth: CampaignTruth, stars: str, folder: Path) -> None:
    """The campaign as ``hst-assets materialize`` makes it below a folder, if it is not there yet.

    Parameters
    ----------
    campaign : Campaign
        What is made.
    truth : CampaignTruth
        As it was simulated.
    stars : str
        Address of the service of stars.
    folder : Path
        Where it is made.

    Raises
    ------
    RuntimeError
        If a command failed.
    """
    position = ("--ra", campaign.plan.ra_deg, "--dec", campaign.plan.dec_deg)
    _once(folder, ("ingest", truth.exposure_folder, "--target", campaign.target, *position), {})
    write_settings(WorkDir(folder / "root", campaign.target), campaign.settings(truth))
    _once(folder, ("materialize", campaign.target), {"ASTROMETRIC_CATALOG_URL": stars})


def _once(folder: Path, arguments: Sequence[object], variables: Mapping[str, str]) -> None:
    """One command in the root of a folder, unless it succeeded there before."""
    root, done = folder / "root", folder / f"{arguments[0]}.done"
    if done.exists():
        return
    root.mkdir(parents=True, exist_ok=True)
    pool = {POOL_VARIABLE: str(folder / "cores")}
    code = command(root, *arguments, env={**variables, **pool}).wait()
    if code:
        raise RuntimeError(f"{arguments[0]} ended with {code}: see {said(root)}")
    done.touch()


def simulated_visits(folder: Path, n_visits: int) -> Path:
    """Exposures of so many visits of one field, ten days apart."""
    return simulate_campaign(_visits_plan(n_visits), folder, max_cores=2).exposure_folder


def _visits_plan(n_visits: int) -> CampaignPlan:
    plan = small_plan("wfc3_ir", visit="isim00")
    (first,) = plan.visits
    visits = [
        replace(first, visit=f"isim{number:02d}", mjd=first.mjd + _BETWEEN_VISITS_D * number)
        for number in range(n_visits)
    ]
    return replace(plan, visits=tuple(visits))

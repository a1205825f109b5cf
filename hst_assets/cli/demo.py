"""``hst-assets demo``: a simulated campaign through the whole graph, compared with its truth."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from hst_assets.cli.ingest import ingest_into, show
from hst_assets.cli.materialize import materialize_target
from hst_assets.cli.terminal import RootOption, output, root_or_default
from hst_assets.failures import UnusableInput
from hst_assets.settings import write_settings
from hst_assets.workdir import WorkDir

if TYPE_CHECKING:
    from hst_assets.simulate.truth import CampaignTruth

__all__ = [
    "HAP_STARS",
    "HAP_VISIT",
    "demo_command",
    "demo_settings",
    "make_advanced_products",
    "place_of_transient",
    "simulated_demo",
    "told_recovery",
]

#: What the demo must recover: native pixels of each detector, and relative flux.
MAX_OFFSET_PIX = 0.1
MAX_FLUX_ERROR = 0.01
#: What the transient's flux on a difference must agree to, besides three times its error.
MAX_DIFFERENCE_ERROR = 0.02
#: The visit whose advanced products are made: the smallest, with the band of its stars of Gaia.
HAP_VISIT, HAP_STARS = "idem03", "ab_wfc3_ir_f110w"
#: The epoch near the transient's peak; on what is earlier its counterpart is looked for.
_LATER_EPOCH = 3


def demo_command(
    root: RootOption = None,
    cores: Annotated[int, typer.Option(min=1, help="Number of processes for the simulator.")] = 2,
) -> None:
    """Simulate a supernova field, process it, and compare the results with the injected truth."""
    from hst_assets.simulate.plans import demo_plan

    started = time.monotonic()
    console = output()
    plan = demo_plan()
    folder = root_or_default(root)
    truth = simulated_demo(folder / "simulated" / plan.name, cores)
    console.print(f"simulated campaign: {truth.root}", highlight=False)
    workdir = WorkDir(folder, plan.name)
    position = plan.ra_deg, plan.dec_deg
    show(ingest_into(workdir, [truth.exposure_folder], position=position), workdir)
    write_settings(workdir, demo_settings(truth))
    materialize_target(workdir)
    make_advanced_products(workdir, truth, HAP_VISIT, HAP_STARS)
    failed = told_recovery(workdir, truth)
    console.print(f"{time.monotonic() - started:.0f} s in total; products in {workdir.base}")
    console.print("'hst-assets up' shows every asset with its pictures on http://127.0.0.1:3000")
    for line in _to_look_at(workdir):
        console.print(line, highlight=False, markup=False)
    if failed:
        raise UnusableInput("the demo did not recover the truth", where=", ".join(failed))


def demo_settings(truth: CampaignTruth) -> dict[str, dict[str, object]]:
    """The sections of the demo's settings that are not as they are by default.

    Parameters
    ----------
    truth : CampaignTruth
        The simulated campaign.
    """
    place = place_of_transient(truth)
    return {
        # Whatever photometer is installed, the demo shows the one that comes with the package.
        "photometry": {"make": True, "photometer": "embedded"},
        "light_curve": place,
        "counterpart": place | {"measured_on": _LATER_EPOCH},
    }


def place_of_transient(truth: CampaignTruth) -> dict[str, object]:
    """Where a simulated campaign's transient is, as settings have it.

    Parameters
    ----------
    truth : CampaignTruth
        The campaign.
    """
    seen = truth.transient[0]
    return {"ra_deg": float(seen["ra"]), "dec_deg": float(seen["dec"])}


def _to_look_at(workdir: WorkDir) -> list[str]:
    """A picture and the page, with their paths."""
    from hst_assets.provenance import read_record

    record = read_record(workdir.colour_images)
    pictures = record.facts.get("previews", ()) if record else ()
    lines = [f"a picture: {workdir.absolute(pictures[0])}"] if pictures else []
    return [*lines, f"everything on one page: {workdir.report}"]


def make_advanced_products(
    workdir: WorkDir, truth: CampaignTruth, visit: str, magnitude: str
) -> None:
    """Make the advanced products of a simulated visit, aligned to the stars of its sky.

    Parameters
    ----------
    workdir : WorkDir
        Of the target.
    truth : CampaignTruth
        The campaign.
    visit : str
        The visit.
    magnitude : str
        Column of the true stars that stands for Gaia's magnitude.
    """
    from hst_assets.orchestration.asset_table import ASSETS
    from hst_assets.simulate.star_service import star_service

    assets = [row.name for row in ASSETS if row.wanted == "hap.make"]
    with (
        star_service(truth.stars, magnitude) as address,
        _variable("ASTROMETRIC_CATALOG_URL", address),
    ):
        materialize_target(workdir, assets=assets, visits=[visit])


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """A variable of this process's environment, and what it was before afterwards."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def simulated_demo(folder: Path, cores: int) -> CampaignTruth:
    """The demo's simulated campaign in `folder`; rendered again unless it is complete.

    Parameters
    ----------
    folder : path
        Where it is kept.
    cores : int
        Number of processes for the simulator.
    """
    from hst_assets.simulate.campaign import load_plan, simulate_campaign
    from hst_assets.simulate.plans import demo_plan
    from hst_assets.simulate.truth import CampaignTruth

    truth = CampaignTruth(folder)
    whole = (
        truth.plan_file.is_file()
        and load_plan(truth.plan_file) == demo_plan()
        and (truth.folder / "transient.ecsv").is_file()  # written last
        and all(path.is_file() for path in truth.science_files())
    )
    return truth if whole else simulate_campaign(demo_plan(), folder, max_cores=cores)


def told_recovery(workdir: WorkDir, truth: CampaignTruth) -> list[str]:
    """Print what was recovered against the truth; return the lines that fell short."""
    from hst_assets.simulate.recovery import recovered

    table = Table(title="Recovered against the injected truth", title_justify="left")
    for column in ("what", "measured", "limit", ""):
        table.add_column(column, overflow="fold")
    failed = []
    for line in recovered(
        workdir,
        truth,
        max_offset_pix=MAX_OFFSET_PIX,
        max_flux_error=MAX_FLUX_ERROR,
        max_difference_error=MAX_DIFFERENCE_ERROR,
    ):
        table.add_row(line.what, line.measured, line.limit, "yes" if line.holds else "NO")
        if not line.holds:
            failed.append(line.what)
    output().print(table)
    return failed

"""How AstroDrizzle is run: how many at a time, what costs an exposure, what fails."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from hst_assets.detectors import DETECTORS
from hst_assets.failures import (
    HstAssetsError,
    MissingProduct,
    OutOfMemory,
    TimedOut,
    ToolFailed,
    UnusableInput,
)
from hst_assets.imaging.astrodrizzle import run as astrodrizzle
from hst_assets.imaging.astrodrizzle.run import (
    DrizzleReport,
    DrizzleRequest,
    drizzle,
    drizzle_many,
)
from hst_assets.imaging.frames import Frame, covering_frame
from hst_assets.provenance import tool_version
from hst_assets.settings import DrizzleSettings, MachineSettings
from hst_assets.simulate.truth import CampaignTruth
from hst_assets.workdir import WorkDir
from hst_assets_tests.imaging.conftest import MACHINE

UVIS = DETECTORS["wfc3_uvis"]

pytestmark = pytest.mark.xdist_group("imaging")  # shares the simulated campaign


@pytest.mark.parametrize(
    ("n_exposures", "n_left_out", "told"), [(3, 1, True), (5, 2, False), (2, 1, False)]
)
def test_a_frame_that_leaves_too_few_to_tell_cosmic_rays_is_a_problem(
    n_exposures: int, n_left_out: int, told: bool
) -> None:
    paths = [Path(f"{number}_flc.fits") for number in range(n_exposures)]
    frame = Frame(150.1, 2.2, 0.04, 10, 10, 5, 5)
    request = DrizzleRequest(paths, Path("out.fits"), UVIS, frame, DrizzleSettings(), "out")
    left_out = [path.name for path in paths[:n_left_out]]
    assert bool(astrodrizzle._unhelped(request, left_out)) is told


def test_what_combines_and_finds_cosmic_rays_is_in_the_recipe() -> None:
    imported = {"drizzlepac", "astroscrappy", "stsci.image", "stsci.imagestats", "stsci.skypac"}
    assert imported <= set(astrodrizzle.TOOLS)
    assert all(tool_version(name) != "absent" for name in astrodrizzle.TOOLS)


@pytest.mark.parametrize("cores", [1, 3])
def test_as_many_products_at_a_time_as_the_settings_allow(
    campaign: CampaignTruth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr("hst_assets.settings.sections.usable_cores", lambda: 8)
    asked = []

    def run(_task: str, calls: list, **limits: float) -> list[HstAssetsError]:
        asked.append(limits["max_cores"])
        return [ToolFailed("not run") for _ in calls]

    monkeypatch.setattr(astrodrizzle, "run_many_isolated", run)
    monkeypatch.setattr(astrodrizzle, "free_memory_bytes", lambda: 10**13)
    exposures = campaign.science_files()[:1]
    workdir = WorkDir(tmp_path, "field").create()
    frame = small_frame(exposures)
    requests = [
        DrizzleRequest(exposures, workdir.drizzle / name, UVIS, frame, DrizzleSettings(), name)
        for name in "abcd"
    ]
    drizzle_many(requests, workdir=workdir, machine=MachineSettings(max_cores=cores))
    assert asked == [cores]


@pytest.mark.parametrize(("few_pixels", "cores"), [(None, 1), (1e5, 3)])
def test_one_process_makes_what_has_few_pixels_and_all_cores_what_has_many(
    campaign: CampaignTruth,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    few_pixels: float | None,
    cores: int,
) -> None:
    monkeypatch.setattr("hst_assets.settings.sections.usable_cores", lambda: 8)
    if few_pixels is not None:
        monkeypatch.setattr(astrodrizzle, "_PIXELS_OF_ONE_PROCESS", few_pixels)
    asked = []

    def run(_task: str, calls: list, **_limits: float) -> list[HstAssetsError]:
        asked.extend((call.cores, call.arguments["cores"]) for call in calls)
        return [TimedOut("not run") for _ in calls]

    monkeypatch.setattr(astrodrizzle, "run_many_isolated", run)
    exposures = campaign.science_files()[:1]  # 262,144 pixels
    workdir = WorkDir(tmp_path, "field").create()
    frame = small_frame(exposures)
    request = DrizzleRequest(exposures, workdir.drizzle / "a", UVIS, frame, DrizzleSettings(), "a")
    drizzle_many([request], workdir=workdir, machine=MachineSettings(max_cores=3))
    assert asked == [(cores, cores)]


@pytest.mark.parametrize(
    ("alone", "left"),
    [
        (ToolFailed("exited with status -11 and no reply"), 2),
        (TimedOut("stopped after 9 s"), 0),  # the machine's: nothing is concluded from it
        (OutOfMemory("was killed"), 0),
    ],
)
def test_the_exposure_that_a_tool_crashes_on_is_found_and_left_out(
    campaign: CampaignTruth,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    alone: HstAssetsError,
    left: int,
) -> None:
    exposures = campaign.science_files()[:3]
    culprit = str(exposures[1])
    combined: list[int] = []

    def run(_task: str, calls: list, **_limits: float) -> list:
        return [answer(call) for call in calls]

    def answer(call) -> dict | HstAssetsError:
        paths = call.arguments["exposures"]
        if culprit in paths:
            return ToolFailed("crashed") if len(paths) > 1 else alone
        combined.append(len(paths))
        for name in ("product", "preview"):
            (call.scratch / name).write_text(name)
        figures = dict.fromkeys(("cosmic_ray_fraction", "flux_ratio", "sky_per_s"))
        figures |= dict.fromkeys(("exptime_s", "bad_fraction", "weight_max", "seconds"), 0.0)
        figures |= {"mjd_start": 0.0, "mjd_end": 0.0, "n_flux_stars": 0, "complaints": ()}
        return {**figures, "inputs": paths, "product": "product", "preview": "preview"}

    monkeypatch.setattr(astrodrizzle, "run_many_isolated", run)
    workdir = WorkDir(tmp_path, "field").create()
    frame = small_frame(exposures)
    request = DrizzleRequest(
        exposures, workdir.drizzle / "a.drc.fits", UVIS, frame, DrizzleSettings(), "a"
    )
    (outcome,) = drizzle_many([request], workdir=workdir, machine=MACHINE)
    if not left:
        assert isinstance(outcome, ToolFailed)
        assert outcome.what == "crashed"
        return
    assert isinstance(outcome, DrizzleReport)
    assert combined == [1, 1, left]
    assert outcome.failed == (exposures[1].name,)
    assert f"left out: {exposures[1].name} ({alone.what})" in outcome.problems


# ------------------------------------------------------------------------- stated failures


def attempt(
    exposures: list[Path], tmp_path: Path, *, frame: Frame, machine: MachineSettings = MACHINE
) -> DrizzleReport:
    workdir = WorkDir(tmp_path, "field").create()
    return drizzle(
        exposures,
        workdir.drizzle / "out.drc.fits",
        detector=UVIS,
        frame=frame,
        settings=DrizzleSettings(),
        workdir=workdir,
        label="out",
        machine=machine,
    )


def small_frame(exposures: list[Path]) -> Frame:
    return covering_frame(exposures, ra_deg=150.1, dec_deg=2.2, scale_arcsec=0.04)


def test_exposures_outside_the_frame_are_a_stated_failure(
    campaign: CampaignTruth, tmp_path: Path
) -> None:
    elsewhere = covering_frame([], ra_deg=151.0, dec_deg=2.2, scale_arcsec=0.04, size_pix=100)
    with pytest.raises(UnusableInput, match="none of its 2 exposures overlaps the frame"):
        attempt(campaign.science_files()[:2], tmp_path, frame=elsewhere)


def test_an_exposure_that_is_gone_is_a_stated_failure(
    campaign: CampaignTruth, tmp_path: Path
) -> None:
    exposures = campaign.science_files()[:1]
    with pytest.raises(MissingProduct, match="is missing"):
        attempt([tmp_path / "gone_flc.fits"], tmp_path, frame=small_frame(exposures))


def test_a_truncated_exposure_is_a_stated_failure(campaign: CampaignTruth, tmp_path: Path) -> None:
    exposures = campaign.science_files()[:1]
    cut = tmp_path / exposures[0].name
    cut.write_bytes(exposures[0].read_bytes()[:400_000])
    with pytest.raises(UnusableInput, match="truncated"):
        attempt([cut], tmp_path, frame=small_frame(exposures))
    gc.collect()  # a file that was left open would fail this test by its warning, not another
    assert not list((tmp_path / "field" / "drizzle").glob("*"))


@pytest.mark.parametrize(
    ("task", "failure", "said"),
    [("hangs", TimedOut, "stopped after 1 s"), ("is_killed", OutOfMemory, "was killed")],
)
def test_a_child_that_is_killed_leaves_nothing_under_a_final_name(
    campaign: CampaignTruth,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    failure: type[HstAssetsError],
    said: str,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setattr(astrodrizzle, "_TASK", f"hst_assets_tests.imaging.unfinished_tasks:{task}")
    exposures = campaign.science_files()[:2]
    hurried = MachineSettings(max_cores=1, tool_timeout_s=1.0)
    with pytest.raises(failure, match=said):
        attempt(exposures, tmp_path, frame=small_frame(exposures), machine=hurried)
    workdir = WorkDir(tmp_path, "field")
    assert not list(workdir.drizzle.glob("*"))
    assert not [path for path in workdir.runfiles.iterdir() if path.is_dir()]

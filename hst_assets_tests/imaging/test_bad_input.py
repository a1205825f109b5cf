"""What drizzling makes of bad exposures: a stated result, no hang, and other products unharmed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.detectors import DETECTORS
from hst_assets.failures import HstAssetsError, UnusableInput
from hst_assets.imaging.astrodrizzle.run import DrizzleReport, DrizzleRequest, drizzle_many
from hst_assets.imaging.frames import covering_frame
from hst_assets.settings import DrizzleSettings, MachineSettings
from hst_assets.simulate.truth import CampaignTruth
from hst_assets.workdir import WorkDir

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("imaging"),  # shares the simulated campaign
]

UVIS = DETECTORS["wfc3_uvis"]
MACHINE = MachineSettings(max_cores=2, tool_timeout_s=120)
SPOILERS: dict[str, Callable[[fits.HDUList], None]] = {}


def spoiler(function: Callable[[fits.HDUList], None]) -> Callable[[fits.HDUList], None]:
    SPOILERS[function.__name__] = function
    return function


@spoiler
def nothing(hdus: fits.HDUList) -> None:
    """Nothing is wrong with this one."""


@spoiler
def not_a_number(hdus: fits.HDUList) -> None:
    hdus["SCI"].data[:] = np.nan


@spoiler
def half_not_a_number(hdus: fits.HDUList) -> None:
    hdus["SCI"].data[:256] = np.nan


@spoiler
def all_flagged(hdus: fits.HDUList) -> None:
    hdus["DQ"].data[:] |= 4


@spoiler
def saturated(hdus: fits.HDUList) -> None:
    hdus["SCI"].data[:] = 80_000.0
    hdus["DQ"].data[:] |= 256


@spoiler
def all_cosmic_rays(hdus: fits.HDUList) -> None:
    shape = hdus["SCI"].data.shape
    hdus["SCI"].data += np.random.default_rng(2).exponential(3000.0, shape).astype(np.float32)


@spoiler
def no_science(hdus: fits.HDUList) -> None:
    del hdus["SCI"]


@spoiler
def no_quality(hdus: fits.HDUList) -> None:
    del hdus["DQ"]


@spoiler
def no_errors(hdus: fits.HDUList) -> None:
    del hdus["ERR"]


@spoiler
def quality_of_another_shape(hdus: fits.HDUList) -> None:
    hdus["DQ"].data = hdus["DQ"].data[:100]


@spoiler
def empty_science(hdus: fits.HDUList) -> None:
    hdus["SCI"].data = None


@spoiler
def off_by_a_degree(hdus: fits.HDUList) -> None:
    hdus["SCI"].header["CRVAL2"] += 1.0


@spoiler
def beside_the_other(hdus: fits.HDUList) -> None:
    hdus["SCI"].header["CRVAL2"] += 20.0 / 3600.0  # as wide as it is itself


@spoiler
def no_wcs(hdus: fits.HDUList) -> None:
    for keyword in ("CTYPE1", "CTYPE2"):
        del hdus["SCI"].header[keyword]


@spoiler
def no_idcscale(hdus: fits.HDUList) -> None:
    hdus["SCI"].header.remove("IDCSCALE", ignore_missing=True)


@spoiler
def no_exposure_time(hdus: fits.HDUList) -> None:
    hdus[0].header["EXPTIME"] = 0.0


def constant(hdus: fits.HDUList, name: str, value: float) -> None:
    """A plane that only its header stands for."""
    ny, nx = hdus[name].data.shape
    hdus[name].data = None
    hdus[name].header.update({"NPIX1": nx, "NPIX2": ny, "PIXVALUE": value})


@spoiler
def quality_of_one_value(hdus: fits.HDUList) -> None:
    constant(hdus, "DQ", 0)


@spoiler
def errors_of_one_value(hdus: fits.HDUList) -> None:
    constant(hdus, "ERR", 12.5)


@spoiler
def quality_of_one_bad_value(hdus: fits.HDUList) -> None:
    constant(hdus, "DQ", 4)


def spoilt(name: str, source: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    path = folder / source.name
    if name in {"cut_short", "empty_file"}:
        path.write_bytes(source.read_bytes()[: 400_000 if name == "cut_short" else 0])
        return path
    with fits.open(source, memmap=False) as hdus:
        SPOILERS[name](hdus)
        hdus.writeto(path, output_verify="silentfix")
    return path


Outcome = DrizzleReport | HstAssetsError


@pytest.fixture(scope="module")
def outcomes(
    campaign: CampaignTruth, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, int], Outcome]:
    """Of the spoilt exposure alone (1), and with two good ones (3)."""
    base = tmp_path_factory.mktemp("bad")
    good = campaign.science_files()[:3]
    workdir = WorkDir(base, "field").create()
    frame = covering_frame(good, ra_deg=150.1, dec_deg=2.2, scale_arcsec=0.04)
    requests: dict[tuple[str, int], DrizzleRequest] = {}
    for name in (*SPOILERS, "cut_short", "empty_file"):
        path = spoilt(name, good[0], base / name)
        for n in (1, 3):
            label = f"{name}.{n}"
            output = workdir.drizzle / f"{label}.drc.fits"
            paths = [path, *good[1:n]]
            requests[name, n] = DrizzleRequest(paths, output, UVIS, frame, DrizzleSettings(), label)
    made = drizzle_many(list(requests.values()), workdir=workdir, machine=MACHINE)
    return dict(zip(requests, made, strict=True))


UNUSABLE = pytest.mark.parametrize(
    ("name", "said"),
    [
        ("not_a_number", "it has no good pixel"),
        ("all_flagged", "it has no good pixel"),
        ("quality_of_one_bad_value", "it has no good pixel"),
        ("saturated", "it has no good pixel"),
        ("no_science", "no SCI extension"),
        ("no_quality", "no data-quality plane for SCI,1"),
        ("quality_of_another_shape", "SCI,1 and its DQ do not match"),
        ("empty_science", "its SCI extension holds no image"),
        ("no_wcs", "its WCS cannot be read"),
        ("no_exposure_time", "EXPTIME is 0.0"),
        ("cut_short", "truncated"),
        ("empty_file", "cannot be read"),
    ],
)


@UNUSABLE
def test_a_file_that_cannot_be_used_is_named_with_the_reason(
    outcomes: dict[tuple[str, int], Outcome], name: str, said: str
) -> None:
    failure = outcomes[name, 1]
    assert isinstance(failure, UnusableInput), failure
    assert said in str(failure)
    assert f"{name}/isim01a0q_flc.fits" in str(failure)


def report(outcomes: dict[tuple[str, int], Outcome], name: str, n: int) -> DrizzleReport:
    outcome = outcomes[name, n]
    assert isinstance(outcome, DrizzleReport), outcome
    return outcome


@UNUSABLE
def test_a_file_that_cannot_be_used_is_left_out_by_name_and_the_rest_is_drizzled(
    outcomes: dict[tuple[str, int], Outcome], name: str, said: str
) -> None:
    found = report(outcomes, name, 3)
    assert found.failed == ("isim01a0q_flc.fits",)
    assert found.inputs == ("isim01a1q", "isim01a2q")
    assert found.exptime_s == 600.0
    # Two exposures compared with each other alone keep some cosmic rays, and lose some of a star.
    assert found.flux_ratio == pytest.approx(1.0, abs=0.04)
    # Never a silent OK.
    (lost, alone) = found.problems
    assert lost.startswith("left out: isim01a0q_flc.fits (")
    assert said in lost
    assert alone.startswith("the frame holds 2 of 3 exposures: cosmic rays")


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize(
    "name",
    ["nothing", "no_errors", "no_idcscale", "quality_of_one_value", "errors_of_one_value"],
)
def test_what_drizzling_does_not_need_is_not_missed(
    outcomes: dict[tuple[str, int], Outcome], name: str, n: int
) -> None:
    found = report(outcomes, name, n)
    assert found.problems == ()
    assert len(found.inputs) == n
    assert found.flux_ratio == pytest.approx(1.0, abs=0.02)


def test_pixels_without_value_are_left_out_alone(
    outcomes: dict[tuple[str, int], Outcome],
) -> None:
    assert report(outcomes, "half_not_a_number", 1).bad_fraction == pytest.approx(0.5, abs=0.01)
    assert "50.0% of the footprint" in report(outcomes, "half_not_a_number", 1).problems[0]
    with_others = report(outcomes, "half_not_a_number", 3)
    assert with_others.problems == ()
    assert with_others.flux_ratio == pytest.approx(1.0, abs=0.02)


def test_an_exposure_that_points_elsewhere_is_left_out_and_named(
    outcomes: dict[tuple[str, int], Outcome],
) -> None:
    alone = outcomes["off_by_a_degree", 1]
    assert isinstance(alone, UnusableInput)
    assert "none of its 1 exposures overlaps the frame" in str(alone)
    with_others = report(outcomes, "off_by_a_degree", 3)
    assert with_others.left_out == ("isim01a0q_flc.fits",)
    assert with_others.inputs == ("isim01a1q", "isim01a2q")
    assert with_others.exptime_s == 600.0


@pytest.mark.parametrize("name", ["beside_the_other", "all_cosmic_rays"])
def test_what_is_made_of_exposures_that_disagree_is_said_to_be_poor(
    outcomes: dict[tuple[str, int], Outcome], name: str
) -> None:
    """Drizzling cannot tell; the comparison with the exposures can."""
    found = report(outcomes, name, 3)
    assert len(found.inputs) == 3
    assert "times their flux on the exposures" in found.problems[0]


def test_no_product_and_no_scratch_is_left_of_a_failure(
    outcomes: dict[tuple[str, int], Outcome],
) -> None:
    made = [outcome for outcome in outcomes.values() if isinstance(outcome, DrizzleReport)]
    folder = Path(made[0].product).parent
    assert {path.name for path in folder.glob("*.fits")} == {
        Path(each.product).name for each in made
    }
    runfiles = folder.parent / ".hst123_runfiles"
    assert not [path for path in runfiles.iterdir() if path.is_dir()]


def test_a_bad_neighbour_changes_nothing_in_a_good_product(
    outcomes: dict[tuple[str, int], Outcome], campaign: CampaignTruth, tmp_path: Path
) -> None:
    workdir = WorkDir(tmp_path, "field").create()
    good = campaign.science_files()[:1]
    frame = covering_frame(
        campaign.science_files()[:3], ra_deg=150.1, dec_deg=2.2, scale_arcsec=0.04
    )
    output = workdir.drizzle / "alone.drc.fits"
    request = DrizzleRequest(good, output, UVIS, frame, DrizzleSettings(), "alone")
    (alone,) = drizzle_many([request], workdir=workdir, machine=MACHINE)
    assert isinstance(alone, DrizzleReport)
    with fits.open(output) as one, fits.open(report(outcomes, "nothing", 1).product) as other:
        for plane in ("SCI", "WHT", "CTX"):
            assert np.array_equal(one[plane].data, other[plane].data, equal_nan=True)

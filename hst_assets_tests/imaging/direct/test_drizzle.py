"""The direct engine against AstroDrizzle itself, on every detector and with every option."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.detectors import DETECTORS
from hst_assets.failures import HstAssetsError
from hst_assets.imaging.astrodrizzle import run
from hst_assets.imaging.astrodrizzle.parameters import engine_of, parameters
from hst_assets.imaging.astrodrizzle.run import DrizzleReport, DrizzleRequest, drizzle, drizzle_many
from hst_assets.imaging.frames import covering_frame
from hst_assets.settings import DrizzleSettings, MachineSettings
from hst_assets.simulate.campaign import Subarray
from hst_assets.simulate.plans import small_plan
from hst_assets.workdir import WorkDir
from hst_assets_tests.simulated_once import SimulatedOnce

pytestmark = pytest.mark.timeout(1800)  # eighty products are made in one go

MACHINE = MachineSettings(max_cores=2, tool_timeout_s=300)
N_EXPOSURES = {"wfc3_uvis": 7, "wfc3_ir": 3, "acs_wfc": 3, "acs_hrc": 3, "wfpc2": 2}
#: Most cases are of this detector. Each pixel is compared by itself, and each option changes some
#: of these 160,000 (of 320 x 320, the static mask none).
SMALLER = {"wfc3_uvis": Subarray(1000, 800, 400, 400)}
#: By default the chips of WFPC2 are drizzled onto pixels of the PC, 25 million of them.
COARSER_ARCSEC = {"wfpc2": 0.12}
#: AstroDrizzle's own sums in single precision are rounded by so much of a pixel or of the noise.
ROUNDING = 5e-6


@dataclass(frozen=True)
class Case:
    """Exposures of a detector, and what of the settings differs from their defaults."""

    detector: str
    n: int
    settings: dict[str, Any]

    def request(self, exposures: list[Path], folder: Path, name: str, **more: Any) -> Any:
        detector = DETECTORS[self.detector]
        used = exposures[: self.n]
        usual = COARSER_ARCSEC.get(self.detector, detector.drizzle_scale_arcsec)
        scale = self.settings.get("scale_arcsec", usual)
        frame = covering_frame(used, ra_deg=150.1, dec_deg=2.2, scale_arcsec=scale)
        settings = DrizzleSettings(**{**self.settings, **more})
        return DrizzleRequest(used, folder / f"{name}.fits", detector, frame, settings, name)


def with_parameters(**given: Any) -> Case:
    return Case("wfc3_uvis", 3, {"parameters": {"all": given}})


RAYS_KEPT = {"parameters": {"all": {"driz_cr": False}}}
CASES = {
    **{f"{key}-{n}": Case(key, n, {}) for key, n in N_EXPOSURES.items()},
    **{f"wfc3_uvis-{n}": Case("wfc3_uvis", n, {}) for n in (1, 2, 3, 4)},
    "wfpc2-1": Case("wfpc2", 1, {}),
    # The model that cosmic rays are told by has pixels of the PC: one case looks for them.
    "wfpc2-counts": Case("wfpc2", 2, {"units": "counts", **RAYS_KEPT}),
    "wfc3_ir-inverse-variance": Case("wfc3_ir", 3, {"weight_type": "IVM"}),
    "inverse-variance": Case("wfc3_uvis", 3, {"weight_type": "IVM"}),
    "error": Case("wfc3_uvis", 3, {"weight_type": "ERR"}),
    "counts": Case("wfc3_uvis", 3, {"units": "counts"}),
    # As the wide chips of WFPC2 by default: a pixel spreads over several.
    "fine": Case("wfc3_uvis", 3, {"scale_arcsec": 0.018}),
    "coarse": Case("wfc3_uvis", 3, {"scale_arcsec": 0.1, "pixfrac": 0.5}),
    "sky-kept": Case("wfc3_uvis", 3, {"sky_sub": False}),
    **{
        f"sky-given-{key}": Case(key, 2, {"sky_level": {f"{key}.{name}": level}, **RAYS_KEPT})
        for key, name, level in (("wfc3_ir", "f110w", 0.5), ("wfpc2", "f606w", 0.02))
    },
    **{
        f"kernel-{kernel}": Case("wfc3_uvis", 3, {"kernel": kernel})
        for kernel in ("gaussian", "point", "turbo")
    },
    **{
        f"combine-{kind}": Case("wfc3_uvis", 4, {"combine_type": kind})
        for kind in ("median", "imedian", "iminmed", "mean")
    },
    **{f"sky-{how}": with_parameters(skymethod=how) for how in ("localmin", "globalmin", "match")},
    "sky-median": with_parameters(skystat="median", skyclip=2, use_static=False),
    "median-clipped": with_parameters(
        combine_type="median", combine_nhigh=1, combine_nlow=0, combine_hthresh=0.5
    ),
    "median-grown": with_parameters(combine_grow=3, combine_nsigma="6 2", combine_maskpt=0.7),
    "median-of-all": with_parameters(median_newmasks=False),
    "rays-grown": with_parameters(driz_cr_grow=3, driz_cr_ctegrow=4, driz_cr_snr="5.0 4.0"),
    "rays-kept": Case("wfc3_uvis", 3, RAYS_KEPT),
    "blot-linear": with_parameters(blot_interp="linear"),
    # Not sinc: drizzlepac's own blotting with it gives other pixels at the edges from call to call
    # on the same input (1,273 of 160,000, six calls of cdriz.tblot), so nothing can be equal to it.
    "not-static": with_parameters(static=False),
    "static-strict": with_parameters(static_sig=2.5),
    "separate-square": with_parameters(driz_sep_kernel="square", driz_sep_pixfrac=0.7),
    "bits": with_parameters(final_bits="0", driz_sep_bits="0"),
}


@dataclass(frozen=True)
class Pairs:
    """Both engines' products by case."""

    folder: Path
    reports: dict[str, DrizzleReport | HstAssetsError]

    def report(self, name: str) -> DrizzleReport:
        outcome = self.reports[name]
        assert isinstance(outcome, DrizzleReport), outcome
        return outcome

    def plane(self, name: str, plane: str) -> np.ndarray:
        return fits.getdata(self.report(name).product, plane)


@pytest.fixture(scope="session")
def exposures(simulated: SimulatedOnce) -> Callable[[str], list[Path]]:
    def of(key: str) -> list[Path]:
        plan = small_plan(key, n_exposures=N_EXPOSURES[key])
        (visit,) = plan.visits
        visit = replace(visit, subarray=SMALLER.get(key, visit.subarray))
        truth = simulated(replace(plan, visits=(visit,)))
        return sorted(truth.exposure_folder.glob(f"*_{DETECTORS[key].suffix}.fits"))

    return of


@pytest.fixture(scope="module")
def pairs(
    exposures: Callable[[str], list[Path]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pairs]:
    folder = tmp_path_factory.mktemp("pairs")
    workdir = WorkDir(folder, "field").create()
    requests = {
        f"{name}.{engine}": case.request(
            exposures(case.detector), folder, f"{name}.{engine}", engine=engine
        )
        for name, case in CASES.items()
        for engine in ("direct", "astrodrizzle")
    }
    reports = drizzle_many(list(requests.values()), workdir=workdir, machine=MACHINE)
    yield Pairs(folder, dict(zip(requests, reports, strict=True)))
    shutil.rmtree(folder)  # 4 GB


def largest_difference(ours: np.ndarray, theirs: np.ndarray, noise: float) -> float:
    """Over the larger of the value and the noise, where both are finite."""
    valid = np.isfinite(ours) & np.isfinite(theirs)
    a, b = ours[valid].astype(float), theirs[valid].astype(float)
    return float(np.max(np.abs(a - b) / np.maximum(np.abs(b), noise), initial=0.0))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_pixels_are_those_of_astrodrizzle(pairs: Pairs, name: str) -> None:
    case = CASES[name]
    settings = DrizzleSettings(**case.settings)
    asked = parameters(DETECTORS[case.detector], case.n, settings)
    assert engine_of(settings, asked) == "direct"
    ours, theirs = f"{name}.direct", f"{name}.astrodrizzle"
    sci, wht = pairs.plane(theirs, "SCI"), pairs.plane(theirs, "WHT")
    covered = wht > 0
    noise = 1.4826 * np.median(np.abs(sci[covered] - np.median(sci[covered])))
    # Where nothing has weight, AstroDrizzle leaves the value of a pixel without weight or NaN.
    sci = np.where(covered, sci, np.nan)
    assert np.array_equal(np.isfinite(pairs.plane(ours, "SCI")), np.isfinite(sci))
    assert largest_difference(pairs.plane(ours, "SCI"), sci, noise) < ROUNDING
    mean_weight = float(np.mean(wht[covered]))
    assert largest_difference(pairs.plane(ours, "WHT"), wht, mean_weight) < ROUNDING
    assert np.array_equal(pairs.plane(ours, "CTX"), pairs.plane(theirs, "CTX"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_reports_are_those_of_astrodrizzle(pairs: Pairs, name: str) -> None:
    ours, theirs = pairs.report(f"{name}.direct"), pairs.report(f"{name}.astrodrizzle")
    assert ours.complaints == theirs.complaints
    assert ours.cosmic_ray_fraction == theirs.cosmic_ray_fraction
    assert ours.sky_per_s == pytest.approx(theirs.sky_per_s, rel=1e-6)
    assert ours.bad_fraction == theirs.bad_fraction


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["direct", "astrodrizzle"])
def test_stars_keep_their_light_on_coarse_pixels(pairs: Pairs, engine: str) -> None:
    """Told by a model on pixels of 0.1 arcsec, two thirds of them were left."""
    coarse, usual = pairs.report(f"coarse.{engine}"), pairs.report(f"wfc3_uvis-3.{engine}")
    # The small apertures of the check hold another share of the light: 1 %.
    assert coarse.flux_ratio == pytest.approx(usual.flux_ratio, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["direct", "astrodrizzle"])
def test_noise_of_wfpc2_is_not_taken_for_cosmic_rays(pairs: Pairs, engine: str) -> None:
    """With the noise of drizzlepac, 9 % of two exposures were; 0.2 % are hit."""
    searched, all_of_it = (
        float(pairs.plane(f"{name}.{engine}", "WHT").sum(dtype=float))
        for name in ("wfpc2-2", "wfpc2-counts")
    )
    assert 0.985 < searched / all_of_it < 0.9995


@pytest.mark.slow
def test_options_change_the_direct_product(pairs: Pairs) -> None:
    plain = pairs.plane("wfc3_uvis-3.direct", "SCI")
    with_options = [
        name
        for name, case in CASES.items()
        if case.detector == "wfc3_uvis" and case.n == 3 and case.settings
    ]
    assert with_options
    for name in with_options:
        other = pairs.plane(f"{name}.direct", "SCI")
        alike = plain.shape == other.shape and np.array_equal(plain, other, equal_nan=True)
        assert not alike, name


def made(request: DrizzleRequest, folder: Path, cores: int = 2) -> DrizzleReport:
    return drizzle(
        request.exposures,
        request.output,
        detector=request.detector,
        frame=request.frame,
        settings=request.settings,
        workdir=WorkDir(folder, "field").create(),
        label=request.label,
        machine=MachineSettings(max_cores=cores, tool_timeout_s=300),
    )


@pytest.mark.slow
def test_a_median_of_nothing_is_said_and_costs_only_the_cosmic_rays(
    exposures: Callable[[str], list[Path]], tmp_path: Path
) -> None:
    case = with_parameters(combine_type="median", combine_nhigh=3)  # AstroDrizzle crashes
    report = made(case.request(exposures("wfc3_uvis"), tmp_path, "nothing"), tmp_path)
    assert report.complaints == ("the median failed, so that cosmic rays were not rejected",)
    assert report.cosmic_ray_fraction == 0.0


@pytest.mark.parametrize(
    "asked", [{"kernel": "lanczos3"}, {"keep_artifacts": True}, {"engine": "astrodrizzle"}]
)
def test_what_the_direct_engine_does_not_do_is_astrodrizzles(asked: dict[str, Any]) -> None:
    settings = DrizzleSettings(**asked)
    assert engine_of(settings, parameters(DETECTORS["wfc3_uvis"], 3, settings)) == "astrodrizzle"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "settings"),
    [("wfc3_uvis", {}), ("wfc3_uvis", {"scale_arcsec": 0.1}), ("wfpc2", RAYS_KEPT)],
    ids=["wfc3_uvis", "coarse", "wfpc2"],
)
def test_pixels_do_not_depend_on_the_number_of_cores(
    exposures: Callable[[str], list[Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    settings: dict[str, Any],
) -> None:
    monkeypatch.setattr("hst_assets.settings.sections.usable_cores", lambda: 8)
    monkeypatch.setattr(run, "_PIXELS_OF_ONE_PROCESS", 0)  # else one process would do for UVIS
    products = []
    for cores in (1, 2, 3):
        # Four chips, or eight: more than the cores, so that each works on several.
        case = Case(key, min(N_EXPOSURES[key], 4), settings)
        request = case.request(exposures(key), tmp_path, f"on{cores}")
        made(request, tmp_path, cores)
        products.append(fits.open(request.output))
    for plane in ("SCI", "WHT", "CTX"):
        one, two, three = (hdus[plane].data for hdus in products)
        assert np.array_equal(one, two, equal_nan=True)
        assert np.array_equal(one, three, equal_nan=True)
    for hdus in products:
        hdus.close()


# ----------------------------------------------------------------------------- its own arithmetic


@pytest.fixture(scope="module")
def engine() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from hst_assets.imaging.direct import drizzle as direct_drizzle
    return direct_drizzle


@pytest.mark.slow
def test_the_context_has_a_plane_for_every_32_chips(engine: Any) -> None:
    shape = (4, 5)
    total, weight = np.zeros(shape), np.zeros(shape)
    context = np.zeros((2, *shape), np.int32)
    ones = np.ones((2, 2), np.float32)
    hit = np.array([[True, False], [True, True]])
    window = engine._Window(slice(1, 3), slice(2, 4), ones, ones, hit)
    for block in ((0, 2), (2, 4)):
        engine._add([(1, window), (32, window), (33, window)], total, weight, context, block)
    assert weight.sum() == 12
    bits = context.view(np.uint32)[:, 1:3, 2:4]
    assert np.array_equal(bits[0], np.where(hit, 1 + 2**31, 0))
    assert np.array_equal(bits[1], np.where(hit, 1, 0))
    assert not context[:, 0].any()
    assert not context[:, :, :2].any()


@pytest.mark.slow
def test_writing_does_not_touch_the_memory_that_the_check_reads(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To store little-endian arrays astropy would swap their bytes in place, and back."""
    from hst_assets.imaging.astrodrizzle import drizzle_task

    planes = {name: np.ones((32, 32), np.float32) for name in ("SCI", "WHT")}
    written: list[Any] = []
    write = fits.HDUList.writeto

    def spied(hdus: fits.HDUList, *args: Any, **options: Any) -> None:
        written.extend(hdu.data for hdu in hdus[1:])
        write(hdus, *args, **options)

    monkeypatch.setattr(fits.HDUList, "writeto", spied)
    headers = {name: fits.Header() for name in ("PRIMARY", *planes)}
    drizzle_task._write(tmp_path / "x.fits", planes, headers, tmp_path / "x.png")
    assert len(written) == 2
    assert not any(np.shares_memory(a, b) for a in written for b in planes.values())
    assert fits.getdata(tmp_path / "x.fits", "WHT")[3, 4] == 1.0

"""The embedded photometer's run: what it is given, what it leaves, and when it is run again."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.failures import BadConfiguration, MissingProduct, TimedOut, UnusableInput
from hst_assets.photometry.catalog.reading import read_catalog
from hst_assets.photometry.catalog.run_info import read_run_info
from hst_assets.photometry.encircled_energy import encircled_energy
from hst_assets.photometry.psf import catalog_run, first_psfs
from hst_assets.photometry.psf.catalog_run import make_embedded_catalog
from hst_assets.photometry.psf.spline_psf import SplinePsf
from hst_assets.provenance import Recipe, Result, WouldBeMade, make
from hst_assets.settings import load_settings, write_settings
from hst_assets.stages import STAGES
from hst_assets.workdir import WorkDir
from hst_assets_tests.photometry.dolphot import small_field as field
from hst_assets_tests.photometry.psf.embedded_field import KnowingEngine, embedded_field

VERSION = STAGES["embedded_catalog"].version


@pytest.fixture
def engine(monkeypatch):
    engine = KnowingEngine()
    monkeypatch.setattr(catalog_run, "measure_target", engine)
    return engine


@pytest.fixture
def workdir(tmp_path):
    return embedded_field(tmp_path / "root")


def run(workdir, **more):
    return make_embedded_catalog(workdir, load_settings(workdir), **more)


# ------------------------------------------------------------------------------- what it leaves


def test_the_files_are_those_of_dolphot(workdir, engine):
    made = run(workdir)
    endings = (
        "",
        ".columns",
        ".param",
        ".info",
        ".data",
        ".warnings",
        ".1.res.fits",
        ".2.res.fits",
    )
    assert {name.rpartition("/")[2] for name in made.record.outputs} == {
        f"dp0000{ending}" for ending in endings
    }
    assert not (workdir.dolphot / "embedded").exists()


def test_stars_have_the_magnitudes_of_the_headers_zero_point(workdir, engine):
    """Counts to 2 %: an aperture of 4 pixels, a crowded field; F814W of Vega is 0.4182 in AB."""
    run(workdir)
    catalog = read_catalog(workdir.dolphot / "dp0000")
    x, y, counts = field.truth()
    assert np.allclose(catalog["x"], x + 0.5, atol=0.006)
    assert np.allclose(catalog["y"], y + 0.5, atol=0.006)
    for image in (1, 2):
        ratio = catalog.values("counts", image=image) / counts
        assert np.median(ratio) == pytest.approx(1, abs=0.03)
    zero_point = -2.5 * np.log10(1.4994e-19) - 21.1 - 5 * np.log10(8039.0) + 18.6921 - 0.4182
    mags = zero_point - 2.5 * np.log10(catalog.values("counts", image=1) / 120)
    assert np.allclose(catalog.values("vega_mag", image=1), mags, atol=2e-3)
    assert catalog.columns.filters[0].label == "WFC3_F814W"


def test_the_info_has_the_alignment(workdir, engine):
    run(workdir)
    info = read_run_info(workdir.dolphot / "dp0000.info")
    assert info.detector_keys == {1: "wfc3_uvis", 2: "wfc3_uvis"}
    for row, shift in zip(info.chips[0].alignment, field.SHIFTS, strict=True):
        assert row == pytest.approx([*shift, 1.0, 0.0, 0.0], abs=1e-3)


def test_the_parameters_are_all_settings(workdir, engine):
    write_settings(workdir, {"embedded": {"final_snr": 4.0, "flag_mask": 3}})
    run(workdir)
    first, *lines = (workdir.dolphot / "dp0000.param").read_text().splitlines()
    told = dict(line.split(" = ", 1) for line in lines)
    assert first == "# written by hst_assets"
    assert told["Photometer"].startswith(f"embedded {VERSION}, hst_assets ")
    assert (told["Nimg"], told["FlagMask"], told["final_snr"]) == ("2", "3", "4.0")
    assert told["img0002_file"] == "iaaa01a2q_flc.chip1"


def test_residuals_are_of_the_prepared_files(workdir, engine):
    run(workdir)
    with fits.open(workdir.dolphot / "dp0000.1.res.fits") as hdus:
        left, right_ascension = hdus[0].data, hdus[0].header["CRVAL1"]
    assert left.shape == (field.SIDE, field.SIDE)
    prepared = fits.getdata(workdir.dolphot / "inputs" / "iaaa01a1q_flc.chip1.fits")
    assert np.allclose(left[5:90, 5:90], prepared[5:90, 5:90] - field.SKY, atol=1e-2)
    assert np.isnan(left[110:, 110:]).all()  # beyond the only tile
    assert right_ascension == 150.0


def test_what_is_said(workdir, engine):
    engine.remarks = (*engine.remarks, "a.chip1: aperture correction not measured: 0 stars")
    facts = run(workdir).facts
    assert (facts["n_stars"], facts["n_images"]) == (field.N_STARS, 2)
    assert facts["program"].startswith(f"embedded {VERSION}")
    assert facts["psfs"] == ["wfc3_uvis F814W chip 2: PSF of 9 stamps, constant"]
    assert [each["text"] for each in facts["warnings"]] == [engine.remarks[1]]
    assert facts["charge_transfer"] == ["wfc3_uvis: corrected in the exposures (PCTECORR)"]
    assert facts["zero_points"][0]["charge_transfer"] == "in the exposure"
    assert facts["zero_points"][0]["vega_mag"] == pytest.approx(24.708, abs=1e-3)


def test_bands_without_a_zero_point_are_told(workdir, engine):
    for path in (workdir.dolphot / "inputs").glob("*chip1.fits"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].header.pop("PHOTFLAM", None)
    facts = run(workdir).facts
    texts = [each["text"] for each in facts["warnings"]]
    assert texts == ["wfc3_uvis F814W has no Vega magnitudes: PHOTFLAM missing"]
    assert (facts["zero_points"][0]["vega_mag"], facts["zero_points"][0]["ab_mag"]) == (None, None)


def test_lost_charge_is_told_image_by_image(workdir, engine):
    with fits.open(second_image(workdir), mode="update") as hdus:
        hdus[0].header["PCTECORR"] = "OMIT"
    facts = run(workdir).facts
    assert facts["charge_transfer"] == [
        "wfc3_uvis: corrected in the exposures (PCTECORR) (iaaa01a1q.chip1)",
        "wfc3_uvis: not corrected (iaaa01a2q.chip1)",
    ]
    (warning,) = facts["warnings"]
    assert warning["text"].startswith(
        "wfc3_uvis: lost charge not corrected on 1 of 2 images (iaaa01a2q.chip1): "
    )
    assert warning["is_problem"]
    lines = (workdir.dolphot / "dp0000.param").read_text().splitlines()
    assert "img0001_charge_transfer = in the exposure" in lines
    assert "img0002_charge_transfer = not corrected" in lines


def second_image(workdir):
    return workdir.dolphot / "inputs" / "iaaa01a2q_flc.chip1.fits"


def test_progress_is_told_and_never_goes_back(workdir, engine):
    heard = []
    run(workdir, progress=heard.append)
    fractions = [progress.fraction for progress in heard]
    assert fractions == sorted(fractions)
    assert str(heard[1]) == "psf photometry: measuring stars (48%)"
    assert str(heard[-1]) == "psf photometry: done (100%)"


# ------------------------------------------------------------------------------ what it is given


def test_the_engine_is_given_the_settings(workdir, engine):
    table = {"find_snr": 6.0, "n_searches": 2, "tile_pix": 300, "max_psf_stars": 7}
    more = {"aperture_radius_arcsec": 0.3, "tile_memory_gb": 0.5}
    write_settings(workdir, {"embedded": {**table, **more}})
    run(workdir)
    (call,) = engine.calls
    told = call["parameters"]
    assert (told.fit.first_snr, told.fit.n_passes, told.tile_pix) == (6.0, 2, 300)
    assert (told.max_psf_stars, told.aperture_radius_arcsec) == (7, 0.3)
    assert told.tile_memory_gb == 0.5
    (prior,) = call["priors"].values()
    assert prior.radius_pix == 12


def test_the_users_grid_is_where_its_band_begins(workdir, engine, monkeypatch):
    """Of a subarray it is the PSF where the subarray's middle is on the chip: 75 of 4096, 2051."""
    asked = []

    def read(path, *, detector, chip, shape, prior):
        asked.append((path.name, detector, chip, shape))
        cells = np.arange(4.0)[:, None, None] * np.ones(prior.coefficients.shape[-2:])
        return SplinePsf(cells.reshape(2, 2, *cells.shape[1:]), (2048.0, 1025.5), prior.radius_pix)

    monkeypatch.setattr(first_psfs, "read_stdpsf", read)
    write_settings(workdir, {"embedded": {"psf_grids": {"wfc3_uvis.f814w": "grid.fits"}}})
    (workdir.base / "grid.fits").write_text("one")
    run(workdir)
    assert asked == [("grid.fits", "wfc3_uvis", 2, (2051, 4096))]
    (prior,) = engine.calls[0]["priors"].values()
    assert prior.coefficients.shape[:2] == (1, 1)
    assert (prior.coefficients == 0).all()  # the first of four cells


def test_tiles_run_in_processes_of_their_own(workdir, engine):
    run(workdir)
    runner = engine.calls[0]["run"]
    task = "hst_assets_tests.isolated_tasks:echo"
    outcomes = dict(runner(task, [{"value": at} for at in range(5)]))
    assert sorted(outcomes) == list(range(5))
    assert [outcomes[at]["value"] for at in range(5)] == list(range(5))


def test_a_run_that_was_interrupted_goes_on(workdir, engine):
    engine.fails = [TimedOut("one tile")]
    with pytest.raises(TimedOut):
        run(workdir)
    run(workdir)
    assert [call["there"] for call in engine.calls] == [[], ["0.tile0"]]


def test_a_stray_file_among_what_was_begun_does_not_matter(workdir, engine):
    (workdir.dolphot / "embedded").mkdir()
    (workdir.dolphot / "embedded" / "notes.txt").write_text("nobody's")
    assert run(workdir).ran
    assert not (workdir.dolphot / "embedded").exists()


@pytest.mark.parametrize("changed", ["settings", "redo"])
def test_what_was_begun_otherwise_is_not_used(workdir, engine, changed):
    engine.fails = [TimedOut("one tile")]
    with pytest.raises(TimedOut):
        run(workdir)
    if changed == "settings":
        write_settings(workdir, {"embedded": {"find_snr": 7.0}})
    run(workdir, redo=changed == "redo")
    assert engine.calls[1]["there"] == []


# ----------------------------------------------------------------------------- when it is run again


@pytest.mark.parametrize(
    ("section", "key", "value", "is_remade"),
    [
        ("embedded", "final_snr", 4.0, True),
        ("dolphot", "SigFinal", 4.0, False),
        ("machine", "max_cores", 1, False),
    ],
)
def test_a_changed_setting_makes_it_again(workdir, engine, section, key, value, is_remade):
    assert run(workdir).ran
    assert not run(workdir).ran
    write_settings(workdir, {section: {key: value}})
    assert run(workdir).ran is is_remade


def test_a_grid_of_psfs_is_part_of_the_recipe(workdir, engine):
    write_settings(workdir, {"embedded": {"psf_grids": {"wfc3_uvis.f606w": "grid.fits"}}})
    with pytest.raises(BadConfiguration, match="does not exist"):
        run(workdir)
    (workdir.base / "grid.fits").write_text("one")
    run(workdir)
    assert not run(workdir).ran
    (workdir.base / "grid.fits").write_text("another")
    assert run(workdir).ran


def recorded(workdir, product, inputs):
    """Give a product a record, and return its digest."""
    recipe = Recipe(stage="aligned_exposure", inputs=inputs)
    return make(recipe, product, workdir, lambda: Result((product,), {})).digest


def test_another_alignment_makes_it_again(workdir, engine):
    """Of an alignment of the same eight cards, too: its look-up tables may be others."""
    aligned = workdir.aligned("iaaa01a1q_flc.fits")
    recorded(workdir, aligned, {"iaaa01a1q": "one"})
    assert run(workdir).ran
    assert not run(workdir).ran
    recorded(workdir, aligned, {"iaaa01a1q": "another"})
    assert run(workdir).ran


def test_chips_of_another_alignment_are_not_measured(workdir, engine):
    aligned, chips = (
        workdir.aligned("iaaa01a1q_flc.fits"),
        workdir.dolphot_chips("iaaa01a1q_flc.fits"),
    )
    chips.write_text("table")
    first = recorded(workdir, aligned, {"iaaa01a1q": "one"})
    recorded(workdir, chips, {"iaaa01a1q": first})
    assert run(workdir).ran
    WorkDir.record(aligned).unlink()  # cleaned away: what the chips were made of is known
    assert not run(workdir).ran
    recorded(workdir, aligned, {"iaaa01a1q": "another"})
    with pytest.raises(UnusableInput, match="aligned again since its chips were made"):
        run(workdir)


def test_a_work_directory_that_is_looked_at_runs_nothing(workdir, engine):
    with pytest.raises(WouldBeMade):
        run(WorkDir(workdir.root, workdir.target, looked_at=True))
    assert engine.calls == []


def test_damaged_inputs_are_found_before_the_run(workdir, engine):
    path = workdir.dolphot / "inputs" / "iaaa01a2q_flc.chip1.fits"
    path.write_bytes(path.read_bytes()[:30000])
    with pytest.raises(UnusableInput, match=r"iaaa01a2q_flc\.chip1\.fits"):
        run(workdir)
    assert engine.calls == []


def test_inputs_without_a_record_are_not_used(workdir, engine):
    workdir.record(workdir.dolphot_inputs).unlink()
    with pytest.raises(MissingProduct, match="not finished"):
        run(workdir)


@pytest.mark.slow
def test_the_engine_measures_the_field(workdir):
    """All real: places to 0.1 pixel, fluxes of the brightest stars to 5 %, most stars found.

    The PSF is a Gaussian of 2.6 pixels, which no prior of WFC3/UVIS knows, and few stars tell it.
    All of its light is within the aperture: what tables put beyond is taken back.
    """
    run(workdir)
    catalog = read_catalog(workdir.dolphot / "dp0000")
    x, y, counts = field.truth()
    apart = np.hypot(catalog["x"][:, None] - 0.5 - x, catalog["y"][:, None] - 0.5 - y)
    bright = counts > 5000
    assert np.median(apart.min(axis=0)[bright]) < 0.1
    assert (apart.min(axis=0)[bright] < 0.5).mean() > 0.8
    (correction, _) = (
        read_run_info(workdir.dolphot / "dp0000.info").chips[0].aperture_corrections_mag
    )
    beyond = 2.5 * np.log10(encircled_energy("wfc3_uvis", "F814W", 0.4))
    measured = catalog.values("counts", image=1)[apart.argmin(axis=0)]
    measured = measured * 10 ** (-0.4 * (correction - beyond))
    assert np.median(measured[bright] / counts[bright]) == pytest.approx(1, abs=0.05)

"""What DOLPHOT reads: which chips, made once, and what becomes of exposures that are no good."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.failures import MissingProduct, MissingTool, OutOfMemory
from hst_assets.photometry.dolphot import inputs
from hst_assets.photometry.dolphot.input_images import check_images, read_input_images
from hst_assets.photometry.dolphot.inputs import make_dolphot_inputs
from hst_assets.products.columns import read_table
from hst_assets.provenance import read_record
from hst_assets.settings import DolphotInputsSettings, MachineSettings, Settings
from hst_assets.simulate.plans import small_plan
from hst_assets.workdir import WorkDir
from hst_assets_tests.photometry.dolphot.prepared_targets import (
    DEC,
    RA,
    prepare_target,
    tell_alignment,
    write_reference,
)
from hst_assets_tests.simulated_once import SimulatedOnce

pytestmark = pytest.mark.xdist_group("dolphot_inputs")


@pytest.fixture(scope="module")
def exposures(simulated: SimulatedOnce) -> list[Path]:
    """Three subarrays of 512 by 512 pixels."""
    folder = simulated(small_plan("wfc3_uvis", n_exposures=3)).exposure_folder
    return sorted(folder.glob("*_flc.fits"))


@pytest.fixture(scope="module")
def made_root(exposures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = prepare_target(WorkDir(tmp_path_factory.mktemp("made"), "sn1"), exposures)
    make_dolphot_inputs(workdir, told())
    return workdir.root


@pytest.fixture
def workdir(made_root: Path, tmp_path: Path) -> WorkDir:
    """A copy of a target whose inputs are made, which a test may change."""
    shutil.copytree(made_root, tmp_path / "root")
    return WorkDir(tmp_path / "root", "sn1")


#: Quick: how the sky is measured is tested by itself.
SKY = {"wfc3_uvis": (15, 35, -32, 2.25, 2.0)}


def told(*, ra: float | None = RA, **choices: object) -> Settings:
    choices = {"sky": SKY, **choices}
    position = {"ra_deg": ra, "dec_deg": None if ra is None else DEC}
    return Settings(
        target=position,
        dolphot_inputs=choices,
        machine=MachineSettings(max_cores=2, tool_timeout_s=300),
    )


def contents(workdir: WorkDir) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in sorted(workdir.dolphot.rglob("*"))
        if path.suffix in (".fits", ".ecsv")
    }


def moments(workdir: WorkDir) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in workdir.dolphot.rglob("*.fits")}


def first_exposure(workdir: WorkDir) -> Path:
    return sorted(workdir.workspace.glob("*_flc.fits"))[0]


def test_the_table_lists_the_reference_and_then_each_chip(made_root: Path) -> None:
    workdir = WorkDir(made_root, "sn1")
    table = read_table(workdir.dolphot_inputs)
    assert table["role"].tolist() == ["reference", *["exposure"] * 3]
    assert table["used"].all()
    assert table["contains_target"].tolist() == [False, True, True, True]
    for row in table:
        chip = fits.getdata(workdir.dolphot / row["file"])
        sky = fits.getdata(workdir.dolphot / row["sky_file"])
        assert chip.shape == sky.shape
        assert row["file"].endswith(".chip1.fits")
        assert row["sky_file"] == row["file"].replace(".fits", ".sky.fits")
        assert np.median(sky) == pytest.approx(float(row["sky_median"]))
        assert int((chip <= np.float32(row["min_value"])).sum()) >= int(row["n_bad"])
        header = fits.getheader(workdir.dolphot / row["file"])
        assert header["RDNOISE"] == float(row["read_noise"].value)


def test_a_chip_of_a_subarray_keeps_its_good_pixels(made_root: Path) -> None:
    workdir = WorkDir(made_root, "sn1")
    path = first_exposure(workdir)
    header = fits.getheader(workdir.dolphot_chip(path.name, 1))
    chip = fits.getdata(workdir.dolphot_chip(path.name, 1))
    good = (chip > header["BADPIX"]) & (chip < header["SATURATE"])
    with fits.open(path) as hdus:
        flags = hdus["DQ", 1].data
        science = hdus["SCI", 1].data
        offset = -hdus["SCI", 1].header["LTV1"], -hdus["SCI", 1].header["LTV2"]
    assert good[flags == 0].all()
    assert not good[(flags & 16) > 0].any()
    # Pixel areas of UVIS are within 4 % of the undistorted pixel's.
    assert np.abs(chip[good] / science[good] - 1).max() < 0.05
    assert (header["DOL_OFFX"], header["DOL_OFFY"]) == offset
    assert header["DOL_WFC3"] in (1, 2)


def test_the_reference_is_masked_and_in_counts(made_root: Path) -> None:
    workdir = WorkDir(made_root, "sn1")
    (row,) = [row for row in read_table(workdir.dolphot_inputs) if row["role"] == "reference"]
    chip = fits.getdata(workdir.dolphot / row["file"])
    header = fits.getheader(workdir.dolphot / row["file"])
    assert (chip[:, :20] < header["BADPIX"]).all()
    assert np.std(chip[:, 20:]) == pytest.approx(600 * 0.01, rel=0.02)  # 1e5 pixels
    assert header["DOL_WFC3"] == -2
    assert header["EXPTIME0"] == 300.0
    assert header["RDNOISE"] == pytest.approx(3.0 * 2**0.5)


def test_what_is_up_to_date_is_not_made_again(workdir: WorkDir) -> None:
    before = moments(workdir)
    assert not make_dolphot_inputs(workdir, told()).ran
    assert moments(workdir) == before


def test_one_lost_chip_makes_its_exposure_only(workdir: WorkDir) -> None:
    before, content = moments(workdir), contents(workdir)
    lost = workdir.dolphot_chip(first_exposure(workdir).name, 1)
    lost.unlink()
    assert make_dolphot_inputs(workdir, told()).ran
    after = moments(workdir)
    assert {name for name in before if before[name] != after[name]} == {
        lost.name,
        workdir.dolphot_sky(lost).name,
    }
    assert contents(workdir) == content


def test_an_exposure_whose_alignment_fails_is_left_out_and_its_chips_go(workdir: WorkDir) -> None:
    gone = first_exposure(workdir)
    tell_alignment(workdir, {gone.name[:9]: "4 matches"})
    made = make_dolphot_inputs(workdir, told())
    (row,) = [each for each in read_table(workdir.dolphot_inputs) if not each["used"]]
    assert (row["exposure"], row["reason"]) == (gone.name[:9], "alignment FAIL: 4 matches")
    assert made.facts["n_exposures"] == 2
    assert not list(workdir.dolphot.rglob(f"{gone.stem}*"))


def test_a_chip_that_does_not_hold_the_target_is_left_out_unless_all_are_wanted(
    workdir: WorkDir,
) -> None:
    # An eighth of a degree away in RA, where no exposure looks.
    elsewhere = told(ra=RA + 0.12)
    made = make_dolphot_inputs(workdir, elsewhere)
    table = read_table(workdir.dolphot_inputs)
    of_exposures = table[table["role"] == "exposure"]
    assert of_exposures["reason"].tolist() == ["does not hold the target"] * 3
    assert not of_exposures["used"].any()
    assert made.facts["note"] == "no chip of any exposure is left for DOLPHOT"
    assert not list(workdir.dolphot.rglob("*_flc.chip1*.fits"))
    every = told(ra=RA + 0.12, include_all_splits=True)
    assert make_dolphot_inputs(workdir, every).facts["n_chips"] == 3


def test_without_a_position_every_chip_is_used(workdir: WorkDir) -> None:
    assert make_dolphot_inputs(workdir, told(ra=None)).facts["n_chips"] == 3
    assert not read_table(workdir.dolphot_inputs)["contains_target"].any()


@pytest.mark.parametrize("damage", ["cut short", "no data quality", "another unit", "no FITS"])
def test_a_damaged_exposure_is_rejected_and_costs_itself(workdir: WorkDir, damage: str) -> None:
    path = first_exposure(workdir)
    if damage == "cut short":
        os.truncate(path, path.stat().st_size // 3)
    elif damage == "no FITS":
        path.write_bytes(b"SIMPLE" * 1000)
    else:
        with fits.open(path, mode="update") as hdus:
            if damage == "another unit":
                hdus["SCI", 1].header["BUNIT"] = "MJY/SR"
            else:
                del hdus["DQ", 1]
    tell_alignment_after(workdir, path)
    made = make_dolphot_inputs(workdir, told())
    table = read_table(workdir.dolphot_inputs)
    (row,) = table[table["exposure"] == path.name[:9]]
    assert not row["used"]
    assert row["reason"]
    assert made.facts["n_exposures"] == 2
    assert made.facts["rejected"] == [f"{row['exposure']}: {row['reason']}"]
    assert not make_dolphot_inputs(workdir, told()).ran  # it is a verdict on the data


def tell_alignment_after(workdir: WorkDir, path: Path) -> None:
    """The alignment of a file whose header may be unreadable now: another digest of it."""
    from astropy.table import QTable

    alignment = QTable.read(workdir.target_alignment, path="exposures", format="hdf5")
    names = [
        str(getattr(name, "decode", lambda name=name: name)()) for name in alignment["rootname"]
    ]
    digests = list(alignment["digest"])
    digests[names.index(path.name[:9])] = "damaged"
    alignment["digest"] = [getattr(each, "decode", lambda each=each: each)() for each in digests]
    alignment.write(
        workdir.target_alignment,
        path="exposures",
        format="hdf5",
        overwrite=True,
        serialize_meta=True,
    )


def test_a_failure_of_the_machine_is_tried_again(
    workdir: WorkDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = inputs.run_many_isolated
    first = first_exposure(workdir).stem

    def without_memory(task, calls, **options):
        answers = real(task, calls, **options)
        return [
            OutOfMemory("killed") if call.scratch.name == first else answer
            for call, answer in zip(calls, answers, strict=True)
        ]

    with monkeypatch.context() as patch:
        patch.setattr(inputs, "run_many_isolated", without_memory)
        made = make_dolphot_inputs(workdir, told(), redo=True)
    assert made.facts["n_exposures"] == 2
    again = make_dolphot_inputs(workdir, told())
    assert again.ran
    assert again.facts["n_exposures"] == 3


def test_a_missing_aligned_exposure_costs_itself(workdir: WorkDir) -> None:
    path = first_exposure(workdir)
    path.unlink()
    made = make_dolphot_inputs(workdir, told(), redo=True)
    assert made.facts["n_exposures"] == 2
    assert "aligned exposure is missing" in made.facts["rejected"][0]


def test_a_changed_sky_of_another_detector_makes_no_exposure_again(workdir: WorkDir) -> None:
    before = moments(workdir)
    make_dolphot_inputs(workdir, told(sky={**SKY, "wfc3_ir": (8, 20, 2, 2.25, 2.0)}))
    after = moments(workdir)
    assert {name for name in before if "flc" in name and before[name] != after[name]} == set()
    make_dolphot_inputs(workdir, told(sky={"wfc3_uvis": (15, 35, -16, 2.25, 2.0)}))
    assert all(moments(workdir)[name] != before[name] for name in before if "flc" in name)


def test_a_users_map_of_pixel_areas_is_used_and_its_content_counts(workdir: WorkDir) -> None:
    path = first_exposure(workdir)
    chip = fits.getheader(path, ("SCI", 1))["CCDCHIP"]
    full = np.full((2051, 4096), 2.0, dtype=np.float32)
    fits.PrimaryHDU(full).writeto(workdir.base / "areas.fits")
    settings = told(pixel_area_maps={f"wfc3_uvis.{chip}": "areas.fits"})
    make_dolphot_inputs(workdir, settings)
    made = workdir.dolphot_chip(path.name, 1)
    header = fits.getheader(made)
    data, science = fits.getdata(made), fits.getdata(path, ("SCI", 1))
    good = (data > header["BADPIX"]) & (data < header["SATURATE"])
    np.testing.assert_allclose(data[good], 2 * science[good], rtol=1e-6)
    fits.PrimaryHDU(full / 2).writeto(workdir.base / "areas.fits", overwrite=True)
    assert make_dolphot_inputs(workdir, settings).ran


def test_cosmic_rays_are_masked_where_they_are_to_be(workdir: WorkDir) -> None:
    before = read_table(workdir.dolphot_inputs)
    make_dolphot_inputs(workdir, told(add_crmask=True))
    after = read_table(workdir.dolphot_inputs)
    # Simulated rays strike some 1e-3 of the pixels in 300 s; none is flagged in the files.
    added = (after["n_cosmic_ray"] - before["n_cosmic_ray"])[1:]
    assert (added > 50).all()
    assert (added < 0.05 * 512**2).all()


def test_counts_and_rates_of_a_reference_are_told_apart(workdir: WorkDir) -> None:
    rates = fits.getdata(workdir.dolphot_chip("wfc3_uvis.f606w.ref_0001.drc.fits", 1))
    write_reference(workdir, unit="ELECTRONS", scale=600.0)
    make_dolphot_inputs(workdir, told())
    counts = fits.getdata(workdir.dolphot_chip("wfc3_uvis.f606w.ref_0001.drc.fits", 1))
    np.testing.assert_allclose(counts[:, 20:], rates[:, 20:], rtol=1e-5, atol=1e-5)
    write_reference(workdir, unit="")
    made = make_dolphot_inputs(workdir, told())
    assert made.facts["notes"] == [
        "wfc3_uvis.f606w.ref_0001 chip 1: no BUNIT: taken for counts per second"
    ]


def test_dolphots_programs_must_be_there_if_they_are_asked_for(
    workdir: WorkDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingTool, match="calcsky, splitgroups, wfc3mask"):
        make_dolphot_inputs(workdir, told(programs="dolphot"))


def test_without_an_alignment_nothing_is_made(workdir: WorkDir) -> None:
    workdir.target_alignment.unlink()
    with pytest.raises(MissingProduct, match="alignment"):
        make_dolphot_inputs(workdir, told())


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_and_makes_the_same(
    exposures: list[Path], made_root: Path, tmp_path: Path
) -> None:
    workdir = prepare_target(WorkDir(tmp_path, "sn1"), exposures)
    code = (
        "from pathlib import Path;"
        "from hst_assets.workdir import WorkDir;"
        "from hst_assets.settings import Settings;"
        "from hst_assets.photometry.dolphot.inputs import make_dolphot_inputs;"
        f"s = Settings(target={{'ra_deg': {RA}, 'dec_deg': {DEC}}}, machine={{'max_cores': 1}},"
        f"dolphot_inputs={{'sky': {SKY}}});"
        f"make_dolphot_inputs(WorkDir(Path({str(tmp_path)!r}), 'sn1'), s)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        deadline = time.monotonic() + 120
        while not list(workdir.dolphot.rglob("*.chips.ecsv.provenance.json")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not workdir.dolphot_inputs.exists()
    kept = [path for path in workdir.dolphot.rglob("*.chips.ecsv") if read_record(path)]
    before = {path: path.stat().st_mtime_ns for path in kept}
    assert len(kept) < 4
    make_dolphot_inputs(workdir, told())
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    assert contents(workdir) == contents(WorkDir(made_root, "sn1"))


def test_settings_of_one_detector_leave_the_others() -> None:
    settings = DolphotInputsSettings(sky={"acs_hrc": (12, 30, 3, 3.0, 3.0)})
    assert settings.sky["acs_hrc"] == (12, 30, 3, 3.0, 3.0)
    assert settings.sky["wfc3_uvis"] == DolphotInputsSettings().sky["wfc3_uvis"]


@pytest.mark.parametrize(
    "choices",
    [
        {"sky": {"acs_hrc": (30, 12, 3, 3.0, 3.0)}},
        {"sky": {"acs_hrc": (12, 30, 0, 3.0, 3.0)}},
        {"sky": {"acs_hrc": (12, 30, 31, 3.0, 3.0)}},
        {"sky": {"acs_hrc": (12, 30, 3, 0.5, 3.0)}},
        {"sky": {"acs_sbc": (12, 30, 3, 3.0, 3.0)}},
        {"pixel_area_maps": {"acs_sbc": "map.fits"}},
        {"pixel_area_maps": {"acs_wfc.7": "map.fits"}},
        # One map for two chips, and chips that there are not: they would be used by none.
        {"pixel_area_maps": {"acs_wfc": "map.fits"}},
        {"pixel_area_maps": {"wfc3_uvis.0": "map.fits"}},
        {"pixel_area_maps": {"wfc3_ir.1": "map.fits"}},
        {"programs": "mine"},
    ],
)
def test_settings_that_make_no_sense_are_refused(choices: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(choices))):
        DolphotInputsSettings.model_validate(choices)


def test_each_chip_may_have_its_map() -> None:
    names = ("acs_hrc", "wfc3_ir.0", "wfc3_uvis.1", "acs_wfc.2", "wfpc2.0", "wfpc2.3")
    told = {"pixel_area_maps": dict.fromkeys(names, "map.fits")}
    assert set(DolphotInputsSettings.model_validate(told).pixel_area_maps) == set(names)


def test_a_run_of_dolphot_takes_what_was_made(workdir: WorkDir) -> None:
    """Whole, finite, with the cards that it reads, and all of them of HST."""
    images = read_input_images(workdir)
    assert [image.role for image in images] == ["reference", *["exposure"] * (len(images) - 1)]
    assert len(images) > 1
    assert check_images(images, with_wcs=True) == "hst"

"""Chips and exposures of different gain on one product, by either engine."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from drizzlepac import wfpc2Data

from hst_assets.detectors import DETECTORS
from hst_assets.failures import UnusableInput
from hst_assets.imaging.astrodrizzle.run import drizzle
from hst_assets.imaging.frames import Frame, covering_frame
from hst_assets.imaging.wfpc2_gain import cosmic_rays_in_electrons, gain_of, in_force
from hst_assets.settings import DrizzleSettings
from hst_assets.simulate.plans import small_plan
from hst_assets.workdir import WorkDir
from hst_assets_tests.imaging.conftest import MACHINE
from hst_assets_tests.simulated_once import SimulatedOnce

WFPC2 = DETECTORS["wfpc2"]
SCALE_ARCSEC = 0.0996
#: DN of every pixel of a wide-field chip at gain 7.
LEVEL = 100.0
#: Electrons per DN of the PC at ATODGAIN 7, whose PHOTFLAM the product has.
GAIN = 7.12
ENGINES = pytest.mark.parametrize("engine", ["direct", "astrodrizzle"])


@pytest.fixture(scope="module")
def exposures(simulated: SimulatedOnce) -> list[Path]:
    plan = small_plan("wfpc2", n_exposures=2)
    return sorted(simulated(plan).exposure_folder.glob("*_c0m.fits"))


def uniform(source: Path, folder: Path, level: float, *, atodgain: float = 7.0) -> Path:
    """The exposure with the same light on every pixel, as it is read with a gain."""
    folder.mkdir(exist_ok=True)
    path = folder / source.name
    shutil.copyfile(source, path)
    quality = source.name.replace("_c0m.", "_c1m.")
    shutil.copyfile(source.with_name(quality), folder / quality)
    share = {7.0: 1.0, 15.0: 7.0 / 14.0}[atodgain]
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["ATODGAIN"] = atodgain
        for hdu in hdus:
            if hdu.name == "SCI":
                scale = hdu.header.get("IDCSCALE") or WFPC2.pixel_scale_arcsec
                hdu.data[:] = level * share * (scale / SCALE_ARCSEC) ** 2
                hdu.header["PHOTFLAM"] = hdus["SCI", 1].header["PHOTFLAM"] * (
                    1.0 / share if hdu.ver == 1 else 1.0
                )
    with fits.open(folder / quality, mode="update") as hdus:
        for hdu in hdus[1:]:
            hdu.data[:] = 0
    return path


def product(paths: list[Path], folder: Path, engine: str) -> tuple[fits.HDUList, Frame, tuple]:
    workdir = WorkDir(folder, "field").create()
    frame = covering_frame(paths, ra_deg=150.1, dec_deg=2.2, scale_arcsec=SCALE_ARCSEC)
    output = workdir.drizzle / "out.drc.fits"
    report = drizzle(
        paths,
        output,
        detector=WFPC2,
        frame=frame,
        settings=DrizzleSettings(
            engine=engine,
            scale_arcsec=SCALE_ARCSEC,
            sky_sub=False,
            units="counts",
            # Uniform light has none, and looking for them takes a model on pixels of the PC.
            parameters={"all": {"driz_cr": False}},
        ),
        workdir=workdir,
        label="out",
        machine=MACHINE,
    )
    with fits.open(output, memmap=False) as hdus:
        return fits.HDUList([hdu.copy() for hdu in hdus]), frame, report.problems


def levels(hdus: fits.HDUList, chips: int) -> list[float]:
    """Median level where one chip alone is in the product, for each of them."""
    context = hdus["CTX"].data & (2**chips - 1)
    return [
        float(np.nanmedian(hdus["SCI"].data[context == 1 << number])) for number in range(chips)
    ]


@pytest.mark.slow
@ENGINES
def test_a_uniform_field_is_level_over_the_chips(
    exposures: list[Path], tmp_path: Path, engine: str
) -> None:
    one = uniform(exposures[0], tmp_path / "one", LEVEL)
    hdus, _, _ = product([one], tmp_path / "out", engine)
    # The chips' own gains, put in twice, made 3 %; areas of pixels differ from nominal by 1 %.
    assert levels(hdus, 4)[1:] == pytest.approx([LEVEL] * 3, rel=0.012)
    assert np.ptp(levels(hdus, 4)[1:]) < 0.6
    assert hdus[0].header["GAIN"] == GAIN


@pytest.mark.slow
@ENGINES
@pytest.mark.parametrize("gains", [(7.0, 15.0), (15.0, 7.0)])
def test_exposures_of_either_gain_have_the_same_stars(
    exposures: list[Path], tmp_path: Path, engine: str, gains: tuple[float, float]
) -> None:
    paths = [
        uniform(path, tmp_path / "mixed", LEVEL, atodgain=gain)
        for path, gain in zip(exposures, gains, strict=True)
    ]
    hdus, _, problems = product(paths, tmp_path / "out", engine)
    seconds = [fits.getheader(path)["EXPTIME"] for path in paths]
    assert seconds[0] == seconds[1]
    due = 2.0 * LEVEL * (1.0 if gains[0] == 7.0 else 0.5)  # counts of both, in the first one's DN
    context = hdus["CTX"].data
    for number in (1, 2, 3):
        both = (context >> number & 1 == 1) & (context >> (number + 4) & 1 == 1)
        assert np.nanmedian(hdus["SCI"].data[both]) == pytest.approx(due, rel=0.012)
    primary = hdus[0].header
    assert primary["GAIN"] == {7.0: 7.12, 15.0: 13.99}[gains[0]]
    # Zero point and electrons per count tell the same story, whichever exposure comes first.
    assert primary["RDNOISE"] == pytest.approx(np.sqrt((5.29**2 + 7.54**2) / 2), abs=1e-3)
    assert not problems


@pytest.mark.slow
def test_chips_without_a_zero_point_are_on_one_gain(exposures: list[Path], tmp_path: Path) -> None:
    """Of either gain: the same light is as many DN of the first chip's gain, and it is said."""
    paths = [
        uniform(path, tmp_path / "mixed", LEVEL, atodgain=gain)
        for path, gain in zip(exposures, (7.0, 15.0), strict=True)
    ]
    for path in paths:
        with fits.open(path, mode="update") as hdus:
            gains = [gain_of(hdu.header, hdus[0].header) for hdu in hdus if hdu.name == "SCI"]
            for hdu in hdus:
                hdu.header.remove("PHOTFLAM", ignore_missing=True)
                if hdu.name == "SCI":  # the DN of as many electrons on each chip
                    share = 1.0 if hdus[0].header["ATODGAIN"] == 7.0 else 0.5
                    hdu.data *= GAIN / gains[hdu.ver - 1] / share
    hdus, _, (problem, unchecked) = product(paths, tmp_path / "out", "direct")
    context = hdus["CTX"].data
    for number in (1, 2, 3):
        both = (context >> number & 1 == 1) & (context >> (number + 4) & 1 == 1)
        # Areas of pixels differ from nominal by 1 %; the gains of 15, left alone, by 50 %.
        assert np.nanmedian(hdus["SCI"].data[both]) == pytest.approx(2.0 * LEVEL, rel=0.012)
    assert hdus[0].header["GAIN"] == GAIN
    assert "ZPAB" not in hdus[0].header
    assert "no zero point" in problem
    assert unchecked in hdus[0].header["ZPNOTE"]
    assert "not checked" in unchecked


def test_one_gain_is_in_force_for_all_chips_and_taken_back() -> None:
    own = wfpc2Data.WFPC2_GAINS
    with in_force(6.5):
        assert wfpc2Data.WFPC2_GAINS[3][15] == [6.5, own[3][15][1]]
    with in_force(None):
        assert wfpc2Data.WFPC2_GAINS is own
    assert wfpc2Data.WFPC2_GAINS is own


def test_a_chip_without_a_gain_is_named() -> None:
    with pytest.raises(UnusableInput, match="ATODGAIN 8"):
        gain_of(fits.Header({"DETECTOR": 2}), fits.Header({"ATODGAIN": 8.0}))


class WFPC2InputImage:
    """What the search reads of an image."""

    scienceExt = "SCI"  # noqa: N815 - drizzlepac's name
    _numchips = 2

    def __init__(self):
        self.chips = {("SCI", number): SimpleNamespace(_effGain=7.0) for number in (1, 2)}

    def __getitem__(self, extension):
        return self.chips[extension]


class ACSInputImage(WFPC2InputImage):
    pass


@pytest.mark.parametrize(("kind", "gain"), [(WFPC2InputImage, 1.0), (ACSInputImage, 7.0)])
def test_cosmic_rays_of_wfpc2_are_told_by_noise_in_electrons(kind, gain):
    image, seen = kind(), []

    def fails(one):
        seen.extend(chip._effGain for chip in one.chips.values())
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - the one above
        cosmic_rays_in_electrons(fails)(image)
    assert seen == [gain, gain]
    assert [chip._effGain for chip in image.chips.values()] == [7.0, 7.0]

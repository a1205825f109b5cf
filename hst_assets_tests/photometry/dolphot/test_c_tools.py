"""DOLPHOT's programs: what they leave is looked at, whatever they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.failures import MissingTool, ToolFailed
from hst_assets.photometry.dolphot.c_tools import located, masked_and_split, measured_sky
from hst_assets.photometry.dolphot.sky import SkyParameters

HOW = SkyParameters(15, 35, 4, 2.25, 2.0)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of stand-ins, first on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder


def stand_in(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def exposure(tmp_path: Path) -> Path:
    """With the extensions that archive files have beyond those that the programs know."""
    path = tmp_path / "x_flc.fits"
    plane = np.ones((5, 5), dtype=np.float32)
    names = ("SCI", "ERR", "DQ", "D2IMARR", "WCSCORR")
    fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(plane, name=name) for name in names)]).writeto(
        path
    )
    return path


def test_the_programs_that_are_missing_are_named(programs: Path) -> None:
    stand_in(programs, "calcsky", "exit 0")
    with pytest.raises(MissingTool, match="no_such_mask, no_such_split"):
        located(["no_such_split", "calcsky", "no_such_mask"])
    assert located(["calcsky"]) == {"calcsky": programs / "calcsky"}


def test_a_mask_that_did_nothing_and_ended_well_has_failed(programs: Path, exposure: Path) -> None:
    stand_in(programs, "wfc3mask", 'echo "$1 is not a WFC3 fits file"; exit 0')
    with pytest.raises(ToolFailed, match="masked 0 chips of 1") as caught:
        masked_and_split([exposure], "wfc3mask", "DOL_WFC3", n_chips=1)
    assert "x_flc.fits is not a WFC3 fits file" in caught.value.log_tail
    # It was given what it knows, and the number of it.
    with fits.open(exposure) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == ["SCI", "ERR", "DQ"]
        assert hdus[0].header["NEXTEND"] == 3


def test_a_chip_that_was_not_split_off_is_a_failure(programs: Path, exposure: Path) -> None:
    with fits.open(exposure, mode="update") as hdus:
        hdus["SCI", 1].header["DOL_WFC3"] = 2
    stand_in(programs, "wfc3mask", "exit 0")
    stand_in(programs, "splitgroups", "exit 0")
    with pytest.raises(ToolFailed, match=r"did not write x_flc\.chip1\.fits"):
        masked_and_split([exposure], "wfc3mask", "DOL_WFC3", n_chips=1)


def test_an_exposure_that_was_taken_for_drizzled_is_a_failure(
    programs: Path, exposure: Path
) -> None:
    with fits.open(exposure, mode="update") as hdus:
        hdus["SCI", 1].header["DOL_WFC3"] = -2
    stand_in(programs, "wfc3mask", 'echo "$@" > said')
    with pytest.raises(ToolFailed, match="for a drizzled image"):
        masked_and_split([exposure], "wfc3mask", "DOL_WFC3", n_chips=1, options=["-irsub=3,4"])
    assert (exposure.parent / "said").read_text() == "-irsub=3,4 x_flc.fits\n"


def test_a_crash_is_told_and_a_sky_of_another_size_is_none(programs: Path, tmp_path: Path) -> None:
    chip = tmp_path / "x_flc.chip1.fits"
    fits.PrimaryHDU(np.zeros((5, 5), dtype=np.float32)).writeto(chip)
    stand_in(programs, "calcsky", "kill -SEGV $$")
    with pytest.raises(ToolFailed, match="did not write") as caught:
        measured_sky(chip, HOW)
    assert caught.value.log_tail[-1] == "calcsky ended with status -11"
    fits.PrimaryHDU(np.zeros((4, 5), dtype=np.float32)).writeto(tmp_path / "other.fits")
    stand_in(programs, "calcsky", 'cp other.fits "$1.sky.fits"')
    with pytest.raises(ToolFailed, match="another size"):
        measured_sky(chip, HOW)


def test_the_program_gets_a_short_name_and_the_parameters(programs: Path, tmp_path: Path) -> None:
    chip = tmp_path / "x_flc.chip1.fits"
    fits.PrimaryHDU(np.zeros((5, 5), dtype=np.float32)).writeto(chip)
    stand_in(programs, "calcsky", 'echo "$@" > said; cp "$1.fits" "$1.sky.fits"')
    assert measured_sky(chip, HOW) == tmp_path / "x_flc.chip1.sky.fits"
    assert (tmp_path / "said").read_text() == "x_flc.chip1 15 35 4 2.25 2\n"

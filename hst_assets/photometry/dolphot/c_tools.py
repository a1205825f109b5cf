"""DOLPHOT's own programs for its inputs: masks, ``splitgroups``, ``calcsky``.

They run on copies, in a scratch folder, by relative names: ``calcsky`` keeps 80 characters of a
path, and overwrites memory beyond. Exit codes say nothing; what a program did is read from the
files that it leaves.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from astropy.io import fits

from hst_assets.failures import MissingTool, ToolFailed
from hst_assets.photometry.dolphot.sky import SkyParameters

__all__ = ["SKY", "SPLIT", "located", "masked_and_split", "measured_sky"]

SPLIT = "splitgroups"
SKY = "calcsky"
_LAST_LINES = 6


def located(names: Iterable[str]) -> dict[str, Path]:
    """Where DOLPHOT's programs are, by name.

    Raises
    ------
    MissingTool
        If one is not on PATH.
    """
    found = {name: shutil.which(name) for name in sorted(set(names))}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise MissingTool(
            f"{', '.join(missing)} of DOLPHOT is not on PATH",
            next_step="Install DOLPHOT with the module of the instrument, or set "
            "dolphot_inputs.programs = 'own'",
        )
    return {name: Path(path) for name, path in found.items() if path is not None}


def masked_and_split(
    files: Sequence[Path],
    program: str,
    tag: str,
    *,
    n_chips: int,
    drizzled: bool = False,
    options: Sequence[str] = (),
) -> list[Path]:
    """Mask a file with DOLPHOT's program and split it into chips.

    Parameters
    ----------
    files : sequence of `~pathlib.Path`
        The exposure (WFPC2: with its c1m) or drizzled image, in a scratch folder; changed.
    program : str
        The mask program.
    tag : str
        The keyword that it leaves.
    n_chips : int
        Chips that must come of it.
    drizzled : bool, optional
        Of a drizzled image.
    options : sequence of str, optional
        Of the mask program.

    Returns
    -------
    list of `~pathlib.Path`
        The chips' files.

    Raises
    ------
    ToolFailed
        If a program did not do its work.
    """
    science, folder = files[0], files[0].parent
    for path in files:
        _lean(path, ("SCI", "WHT", "CTX") if drizzled else ("SCI", "ERR", "DQ", "SAMP", "TIME"))
    said = _run([program, *options, *(path.name for path in files)], folder)
    with fits.open(science, memmap=False) as hdus:
        done = [int(hdu.header[tag]) for hdu in hdus if tag in hdu.header]
    if len(done) != n_chips:
        raise ToolFailed(
            f"{program} masked {len(done)} chips of {n_chips}", where=science.name, log_tail=said
        )
    if not drizzled and min(done) < 0:
        # It takes a subarray that it does not know by name for one, and masks its good pixels.
        raise ToolFailed(
            f"{program} took the exposure for a drizzled image",
            where=science.name,
            next_step="Set dolphot_inputs.programs = 'own', which knows all subarrays",
            log_tail=said,
        )
    said = _run([SPLIT, science.name], folder)
    chips = [science.with_name(f"{science.stem}.chip{n}.fits") for n in range(1, n_chips + 1)]
    for chip in chips:
        if not chip.is_file():
            raise ToolFailed(f"{SPLIT} did not write {chip.name}", log_tail=said)
    return chips


def measured_sky(chip: Path, parameters: SkyParameters) -> Path:
    """Measure the sky of a chip's file with ``calcsky``; return the file of it.

    Raises
    ------
    ToolFailed
        If there is none, or one of another size.
    """
    said = _run([SKY, chip.stem, *parameters.arguments], chip.parent)
    sky = chip.with_name(f"{chip.stem}.sky.fits")
    if not sky.is_file():
        raise ToolFailed(f"{SKY} did not write {sky.name}", log_tail=said)
    if fits.getdata(sky).shape != fits.getdata(chip).shape:
        raise ToolFailed(f"{sky.name} of {SKY} has another size than the chip", log_tail=said)
    return sky


def _lean(path: Path, names: Sequence[str]) -> None:
    """Keep what the programs know: they count extensions, and refuse a file that has others."""
    with fits.open(path, memmap=False) as hdus:
        kept = [hdus[0], *(hdu for hdu in hdus[1:] if hdu.name in (*names, "SDQ"))]
        kept[0].header["NEXTEND"] = len(kept) - 1
        part = path.with_name(f"{path.name}.part")
        fits.HDUList(kept).writeto(part, output_verify="silentfix+ignore", overwrite=True)
    part.replace(path)


def _run(command: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Run a program in a folder; the last lines of what it said.

    The time limit is that of the child process in which this is called, with all its children.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    lines = done.stdout.decode(errors="replace").splitlines()
    return (*lines[-_LAST_LINES:], f"{command[0]} ended with status {done.returncode}")

"""The gains of WFPC2's chips where drizzlepac puts them in once too often.

PHOTFLAM of WFPC2 is for DN and holds the gain: chips scaled to one PHOTFLAM are in the DN of the
chip that had it. drizzlepac multiplies each chip by its own gain and divides their sum by the
last one's only; done to scaled chips, that would put the gains in twice. Its search for cosmic rays
(drizzlepac 3.11) has image, model and read noise in electrons, and divides their noise by the gain:
it is then too small by a factor of 2.7 (bright pixels) to 7 (read noise alone) at ATODGAIN 7, and
of up to 14 at ATODGAIN 15.

Only child processes import this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from astropy.io import fits
from drizzlepac import drizCR, wfpc2Data

from hst_assets.failures import UnusableInput

__all__ = ["cosmic_rays_in_electrons", "gain_of", "in_force", "noise_in_electrons"]


def gain_of(science: fits.Header, primary: fits.Header) -> float:
    """Electrons in one DN of a chip: drizzlepac's figure for its DETECTOR and ATODGAIN.

    Raises
    ------
    UnusableInput
        If drizzlepac knows no gain for them.
    """
    chip, mode = science.get("DETECTOR"), primary.get("ATODGAIN")
    try:
        return float(wfpc2Data.WFPC2_GAINS[chip][mode][0])
    except KeyError as error:
        raise UnusableInput(
            f"there is no gain for DETECTOR {chip} and ATODGAIN {mode}",
            where=primary.get("FILENAME"),
            next_step="Leave the exposure out with a line in overrides.ecsv",
        ) from error


@contextmanager
def in_force(gain: float | None) -> Iterator[None]:
    """Let drizzlepac take one gain for every chip, and the read noise of the mode that was in use.

    Parameters
    ----------
    gain : float or None
        Electrons in one DN; None leaves drizzlepac its own.
    """
    own = wfpc2Data.WFPC2_GAINS
    if gain is not None:
        wfpc2Data.WFPC2_GAINS = {
            chip: {mode: [gain, read_noise] for mode, (_, read_noise) in modes.items()}
            for chip, modes in own.items()
        }
    try:
        yield
    finally:
        wfpc2Data.WFPC2_GAINS = own


def cosmic_rays_in_electrons(step: Callable[..., None]) -> Callable[..., None]:
    """AstroDrizzle's search for cosmic rays, with the noise in the unit of the image.

    Parameters
    ----------
    step : callable
        ``drizCR._driz_cr``, which compares the image and the model, both in electrons, to their
        noise over each chip's ``_effGain``; that is 1 for the other instruments.

    Returns
    -------
    callable
        The same with 1 for WFPC2, too, while it lasts.
    """

    def in_electrons(image: Any, *arguments: Any) -> None:
        chips = [image[image.scienceExt, number] for number in range(1, image._numchips + 1)]  # noqa: SLF001
        is_wfpc2 = type(image).__name__ == "WFPC2InputImage"
        gains = [chip._effGain for chip in chips]  # noqa: SLF001
        for chip in chips if is_wfpc2 else ():
            chip._effGain = 1.0  # noqa: SLF001
        try:
            step(image, *arguments)
        finally:
            for chip, gain in zip(chips, gains, strict=True):
                chip._effGain = gain  # noqa: SLF001

    in_electrons.__module__ = __name__
    return in_electrons


@contextmanager
def noise_in_electrons() -> Iterator[None]:
    """Let AstroDrizzle find cosmic rays on WFPC2 by the noise that its pixels have."""
    own = drizCR._driz_cr  # noqa: SLF001
    drizCR._driz_cr = cosmic_rays_in_electrons(own)  # noqa: SLF001
    try:
        yield
    finally:
        drizCR._driz_cr = own  # noqa: SLF001

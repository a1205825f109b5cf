"""One gain for all chips of WFPC2 exposures that were brought to one PHOTFLAM, or to one gain.

PHOTFLAM of WFPC2 is for DN and holds the gain: chips scaled to one PHOTFLAM are in the DN of the
chip that had it. drizzlepac multiplies each chip by its own gain and divides their sum by the
last one's only; done to scaled chips, that would put the gains in twice.

Only child processes import this.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from astropy.io import fits
from drizzlepac import wfpc2Data

from hst_assets.failures import UnusableInput

__all__ = ["gain_of", "in_force"]


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

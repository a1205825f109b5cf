"""What DOLPHOT's mask programs know of each detector: flags, tags, read noise, pixel areas.

Flags are those of DOLPHOT 2.0's ``wfc3mask``, and of ``acsmask`` and ``wfpc2mask`` as hst123
describes those of DOLPHOT 3.1; what bits mean is in the Data Handbooks of the instruments, chapter
3. A pixel is saturated, or else bad, or else a cosmic ray; the last two are left out alike. Warm
pixels (64) count as good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hst_assets.detectors import Detector
from hst_assets.exposures.keywords import number, text
from hst_assets.failures import UnusableInput

__all__ = ["RULES", "MaskRules", "ReadMode", "read_mode"]

_PER_READ_E = 14.6


@dataclass(frozen=True)
class ReadMode:
    """Gain and read noise of a chip, as DOLPHOT is told.

    Attributes
    ----------
    gain : float
        Electrons in one count; 1 where the pixels are electrons.
    read_noise_e : float
        Electrons.
    """

    gain: float
    read_noise_e: float


@dataclass(frozen=True)
class MaskRules:
    """How DOLPHOT's input is made of the exposures of one detector.

    Attributes
    ----------
    saturated, bad, cosmic_ray : int
        DQ bits.
    tag : str
        The keyword by which DOLPHOT knows the instrument.
    tag_of_drizzled : int
        Its value in a drizzled image.
    program : str
        DOLPHOT's own mask program.
    numbered : bool
        Whether the tag is the number of the chip (CCDCHIP), and not 0.
    flux_scale : float
        Fluxes are divided by it, of drizzled images too: DOLPHOT's zero points are for pixels of
        that area in units of the flat field's (``acs_ctmult``, ``wfc3_ctmult``).
    saturated_above : float or None
        Counts above which a pixel is saturated whatever its flags say (WFPC2: the converter).
    last_is_bad : bool
        Whether the last row and column hold no sky (WFPC2).
    unit_at_centre : bool
        Whether pixel areas are relative to that of the chip's middle (WFPC2, as in Holtzman et al.
        1995, PASP 107, 156), and not to the undistorted pixel of the flat field.
    """

    saturated: int
    bad: int
    cosmic_ray: int
    tag: str
    tag_of_drizzled: int
    program: str
    numbered: bool = False
    flux_scale: float = 1.0
    saturated_above: float | None = None
    last_is_bad: bool = False
    unit_at_centre: bool = False

    def chip_tag(self, science: Mapping[str, Any], detector: Detector) -> int:
        """The value of the tag in a chip: WFC3 and ACS 1 and 2, or 0; WFPC2 0 to 3.

        Parameters
        ----------
        science : mapping
            Header of the SCI extension.
        detector : Detector
            Its row.

        Raises
        ------
        UnusableInput
            If the header does not tell which chip it is.
        """
        if detector.has_separate_dq:
            chip = int(number(science, "DETECTOR")) - 1
            known = range(detector.n_chips)
        elif self.numbered:
            chip = int(number(science, "CCDCHIP"))
            known = range(1, detector.n_chips + 1)
        else:
            return 0
        if chip not in known:
            raise UnusableInput(f"{detector.key} has no chip of the number {chip}")
        return chip


#: By `hst_assets.detectors.Detector.key`.
RULES: dict[str, MaskRules] = {
    "wfc3_uvis": MaskRules(
        saturated=256 + 2048,
        bad=63 + 128 + 512 + 1024,
        cosmic_ray=4096 + 8192,
        tag="DOL_WFC3",
        tag_of_drizzled=-2,
        program="wfc3mask",
        numbered=True,
    ),
    # Blobs (512) are good: their pixels are a few per cent off. 2048: signal in the zeroth read.
    "wfc3_ir": MaskRules(
        saturated=256,
        bad=63 + 128 + 2048,
        cosmic_ray=4096 + 8192,
        tag="DOL_WFC3",
        tag_of_drizzled=-1,
        program="wfc3mask",
    ),
    "acs_wfc": MaskRules(
        saturated=256 + 2048,
        bad=63 + 128 + 512 + 1024,
        cosmic_ray=4096 + 8192,
        tag="DOL_ACS",
        tag_of_drizzled=-2,
        program="acsmask",
        numbered=True,
        flux_scale=0.951763,
    ),
    "acs_hrc": MaskRules(
        saturated=256 + 2048,
        bad=63 + 128 + 512 + 1024,
        cosmic_ray=4096 + 8192,
        tag="DOL_ACS",
        tag_of_drizzled=-1,
        program="acsmask",
        flux_scale=1.124583,
    ),
    "wfpc2": MaskRules(
        saturated=8,
        bad=1 + 2 + 4 + 16 + 32 + 128 + 256 + 512,
        cosmic_ray=4096,
        tag="DOLWFPC2",
        tag_of_drizzled=-1,
        program="wfpc2mask",
        saturated_above=3500.0,
        last_is_bad=True,
        unit_at_centre=True,
    ),
}

#: WFPC2's ATODGAIN to what DOLPHOT takes for it: gain, and read noise in electrons.
_WFPC2_MODES = {7.0: ReadMode(7.0, 5.0), 14.0: ReadMode(14.0, 7.5), 15.0: ReadMode(14.0, 7.5)}
#: Amplifiers of each chip; of ACS/HRC and WFC3/IR, which have one, all four.
_AMPLIFIERS = {1: "AB", 2: "CD", 0: "ABCD"}


def read_mode(
    primary: Mapping[str, Any], detector: Detector, *, chip: int = 0, n_combined: int = 1
) -> ReadMode:
    """Gain and read noise of a chip, or of a drizzled image.

    Parameters
    ----------
    primary : mapping
        Primary header.
    detector : Detector
        Its row.
    chip : int, optional
        The chip's tag; 0 for the mean of all amplifiers.
    n_combined : int, optional
        Exposures that were added up; their noise is too.

    Returns
    -------
    ReadMode
        Of CCDs, the mean of the chip's amplifiers in use (READNSEA to D): A and B read chip 1, C
        and D chip 2, of both cameras (Instrument Handbooks). DOLPHOT 2.0 has WFC3's the other way
        round. Of WFC3/IR, that of a line fitted through NSAMP reads with 14.6 electrons each
        (as DOLPHOT 3.1; Rauscher et al. 2007, PASP 119, 768, their equation 1 with m = 1). A header
        without amplifiers, as a user's drizzled image may have, has the detector's nominal figure.

    Raises
    ------
    UnusableInput
        If WFPC2's ATODGAIN is none that DOLPHOT knows.
    """
    added = float(np.sqrt(n_combined))
    if detector.has_separate_dq:
        gain = number(primary, "ATODGAIN")
        if gain not in _WFPC2_MODES:
            raise UnusableInput(
                f"DOLPHOT knows no WFPC2 exposures of ATODGAIN {gain:g}, only of 7, 14 and 15"
            )
        mode = _WFPC2_MODES[gain]
        return ReadMode(mode.gain, mode.read_noise_e * added)
    if detector.is_infrared:
        n_reads = max(int(number(primary, "NSAMP", 2)), 2)
        ramp = np.sqrt(12.0 * (n_reads - 1) / (n_reads * (n_reads + 1)))
        return ReadMode(1.0, float(_PER_READ_E * ramp) * added)
    in_use = text(primary, "CCDAMP", "")
    amplifiers = [each for each in _AMPLIFIERS[chip] if each in in_use] or list(in_use)
    figures = [number(primary, f"READNSE{each}", 0.0) for each in amplifiers if each in "ABCD"]
    known = [figure for figure in figures if figure > 0]
    return ReadMode(1.0, (float(np.mean(known)) if known else detector.read_noise_e) * added)

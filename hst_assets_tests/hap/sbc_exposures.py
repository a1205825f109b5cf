"""ACS/SBC exposures for tests: the sky of simulated ACS/HRC ones, counted photon by photon.

SBC has neither read noise nor cosmic rays, and next to no sky: most of its pixels hold 0. Geometry
and zero points stay those of HRC; HAP's code for SBC does not know them from its own.
"""

from dataclasses import replace

import numpy as np
from astropy.io import fits

#: HRC's filters that are simulated, and those of SBC that they stand for.
FILTERS = {"F435W": "F125LP", "F555W": "F140LP"}
#: Seconds: HRC's sky gives 0.3 and 0.6 photons a pixel.
EXPTIME = 60.0
_OF_A_CCD = ("ATODGN*", "READNSE*", "BIASLEV*", "CCDGAIN", "CCDAMP")


def without_noise(plan):
    """The plan of a campaign whose exposures hold expected light alone."""
    (visit,) = plan.visits
    plain = replace(visit, noise=False, cosmic_rays=False, defects=False)
    return replace(plan, visits=(plain,))


def count_photons(path, seed):
    """Make a simulated exposure of HRC without noise one of SBC, in place."""
    rng = np.random.default_rng(seed)
    with fits.open(path, mode="update") as hdus:
        primary, science = hdus[0].header, hdus["SCI", 1].header
        primary["DETECTOR"] = primary["APERTURE"] = primary["PROPAPER"] = "SBC"
        wheels = (primary["FILTER1"], primary["FILTER2"])
        (name,) = [FILTERS[wheel] for wheel in wheels if wheel in FILTERS]
        primary["FILTER1"], primary["FILTER2"] = name, "N/A"
        for pattern in _OF_A_CCD:
            for keyword in [*primary[pattern]] if "*" in pattern else [pattern]:
                del primary[keyword]
        science["PHOTMODE"] = f"ACS SBC {name}"
        counts = rng.poisson(np.clip(hdus["SCI", 1].data, 0.0, None))
        hdus["SCI", 1].data = counts.astype(np.float32)
        hdus["ERR", 1].data = np.sqrt(np.maximum(counts, 1)).astype(np.float32)

"""L.A.Cosmic (van Dokkum 2001, PASP 113, 1420) with the parameters of a detector."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.detectors import Detector

__all__ = ["lacosmic"]


def lacosmic(
    data: NDArray[np.float32], ignored: NDArray[np.bool_], detector: Detector, *, rounds: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Find cosmic rays in one image by their edges.

    Parameters
    ----------
    data : ndarray (ny, nx)
        The image, in the detector's counts.
    ignored : ndarray (ny, nx) of bool
        Pixels that are not looked at.
    detector : Detector
        Its limits, gain, read noise and saturation.
    rounds : int
        How often it is searched, each time with what was found taken out.

    Returns
    -------
    found : ndarray (ny, nx) of bool
        The pixels struck.
    cleaned : ndarray (ny, nx)
        The image with them at the median of their neighbours.
    """
    import astroscrappy

    sigclip, sigfrac, objlim = detector.lacosmic
    found, cleaned = astroscrappy.detect_cosmics(
        np.ascontiguousarray(data, dtype=np.float32),
        inmask=np.ascontiguousarray(ignored),
        sigclip=sigclip,
        sigfrac=sigfrac,
        objlim=objlim,
        gain=detector.gain_e_per_dn,
        readnoise=detector.read_noise_e,
        satlevel=detector.saturation_e,
        cleantype="medmask",
        fsmode="median",
        sepmed=True,
        niter=rounds,
    )
    return found, cleaned

"""FITS files of some ten thousand bytes that look like exposures to whoever checks containers."""

import io

import numpy as np
from astropy.io import fits


def tiny_fits(rootname, *, seed=0, checksum=False, n_extensions=2, nextend=True, side_pix=80):
    """The bytes of a file with a primary header and float images; another seed, other pixels."""
    rng = np.random.default_rng(seed)
    primary = fits.PrimaryHDU()
    primary.header["ROOTNAME"] = rootname
    primary.header["SEED"] = seed
    if nextend:
        primary.header["NEXTEND"] = n_extensions
    images = [
        fits.ImageHDU(rng.normal(size=(side_pix, side_pix)).astype("f4"), name="SCI", ver=number)
        for number in range(1, n_extensions + 1)
    ]
    buffer = io.BytesIO()
    fits.HDUList([primary, *images]).writeto(buffer, checksum=checksum)
    return buffer.getvalue()

"""WFPC2 exposures with one chip, as the archive has them of visits that read one only."""

from astropy.io import fits


def keep_chip(path, number):
    """Drop the other chips of an ``flt`` file, in place."""
    with fits.open(path, mode="update") as hdus:
        for index in range(len(hdus) - 1, 0, -1):
            if hdus[index].ver != number:
                del hdus[index]
        for hdu in hdus[1:]:
            hdu.ver = hdu.header["EXTVER"] = 1

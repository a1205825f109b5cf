"""The embedded photometer: stars measured by fitting the PSF to all exposures at once."""

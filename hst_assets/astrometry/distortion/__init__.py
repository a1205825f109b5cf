"""Distortion of exposures that come without it: reference files, and the WCS computed from them."""

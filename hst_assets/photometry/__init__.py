"""Photometry of stars and of a target on aligned exposures."""

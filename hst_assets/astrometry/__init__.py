"""Astrometry: one reference frame, exposures brought onto it, and the gate that judges each fit."""

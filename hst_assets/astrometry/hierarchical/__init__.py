"""Alignment in two steps: a visit's drizzled epochs first, then its exposures."""

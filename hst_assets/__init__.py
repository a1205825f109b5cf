"""Hubble imaging as software-defined assets: from raw exposures to aligned, drizzled epochs."""

"""Raw exposures: verified, read once, selected with reasons, grouped into visits and epochs."""

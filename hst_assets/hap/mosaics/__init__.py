"""Multi-visit mosaics: images of all visits of a target on the sky cells' grid, layer by layer."""

"""Photometry of stars: what DOLPHOT reads, how it is run, catalogues, artificial stars."""

"""Photometry of stars: catalogues, whoever measured them, and what is made ready for DOLPHOT."""

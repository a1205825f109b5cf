"""Artificial stars: where they are put, how they are measured, and what follows from them."""

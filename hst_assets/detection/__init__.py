"""Stars on images: the planes of an exposure or product, their sky, and the stars found on them."""

"""The reference image: which exposures make it, its stars, and how later stages see it."""

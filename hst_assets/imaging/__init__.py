"""From aligned exposures to drizzled images and their differences, checked."""

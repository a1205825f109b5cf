"""From aligned exposures to drizzled products: frames, AstroDrizzle, checks and previews."""

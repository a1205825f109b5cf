"""Stars of a target's exposures: what DOLPHOT needs, how it is run, and what comes of it."""

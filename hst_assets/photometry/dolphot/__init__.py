"""DOLPHOT: what it is given to read, how it is run, and what it says."""

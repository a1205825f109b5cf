"""DOLPHOT: what it is given to read, how it is run and judged; its files are kept as they are."""

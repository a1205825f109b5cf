"""DOLPHOT: its inputs are prepared, it is run and judged; its files are kept as they are."""

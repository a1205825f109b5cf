"""The machine that work is done on: its cores, its memory, and which errors are its own.

Nothing here knows of exposures or products.
"""

"""Counterparts: which source of earlier images is the object that was seen later at one place."""

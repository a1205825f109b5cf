"""Differences between epochs, with their noise."""

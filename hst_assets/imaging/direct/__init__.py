"""Driving drizzlepac's C code ourselves, on several cores and through memory."""

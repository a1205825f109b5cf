"""The absolute catalogue (Gaia or a user's table), and whether a target's frame is that of it."""

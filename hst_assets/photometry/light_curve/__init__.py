"""Light curves: what one place on the sky sent, measurement by measurement."""

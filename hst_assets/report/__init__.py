"""What there is of a target on one page that works offline."""

"""What HAP's tests found in a visit, and whether that is good, doubtful or not checked."""

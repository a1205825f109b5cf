"""Assets from the rows of the table: uniform ones from a factory, the others with a body each."""

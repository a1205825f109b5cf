"""The stages of a visit's advanced products, each of which leaves files with a record."""

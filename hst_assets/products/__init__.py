"""What every stage does with its products: make what is missing, list it, show it."""

"""The archive (MAST): what it holds for a target, and how its files come into raw/ unharmed."""

"""The assets, one module a stage in the order in which data flow."""

"""Messages about failed runs, by webhook or mail, as the environment says.

Without Dagster: which runs have failed is found by `hst_assets.orchestration.alerts`.
"""

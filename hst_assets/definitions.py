"""What Dagster loads: ``dagster dev -m hst_assets.definitions``."""

from hst_assets.orchestration.build import build_defs

defs = build_defs()

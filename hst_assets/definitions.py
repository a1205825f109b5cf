"""What Dagster loads: ``dagster dev -m hst_assets.definitions``."""

import logging
import os

from hst_assets.machine.numerical_threads import pin_threads

# Before numpy is imported: what Dagster starts with these definitions is a process of ours.
pin_threads(os.environ)

from hst_assets.orchestration.build import build_defs  # noqa: E402

defs = build_defs()

# Set by `dagster dev`; without a home of its own it works on an instance that it throws away.
if os.environ.get("DAGSTER_IS_DEV_CLI") and not os.environ.get("DAGSTER_HOME"):
    logging.getLogger("dagster").warning(
        "DAGSTER_HOME is not set: this instance is temporary, shows no run of hst-assets, and "
        "reports usage to Dagster's makers. Use 'hst-assets up', or once in this folder "
        "'hst-assets home --write-env'"
    )

"""A daemon of Dagster's that looks each second, for the ``dagster.yaml`` of deployments under test.

Dagster goes round its sensors every 5 s, by a constant of its own, and round its queue every 5 s by
default: nearly all that a test of a deployment does is wait for the two. The daemon's process
imports the class of the coordinator, and with it this module.
"""

from dagster import QueuedRunCoordinator
from dagster._daemon import sensor

sensor.MIN_INTERVAL_LOOP_TIME = 1

#: What is put behind a deployment's ``dagster.yaml``.
QUICK_DAEMON = f"""
run_coordinator:
  module: {__name__}
  class: QuickCoordinator
  config:
    dequeue_interval_seconds: 1
"""


class QuickCoordinator(QueuedRunCoordinator):
    """Dagster's own; what is quicker is the daemon that imports it."""

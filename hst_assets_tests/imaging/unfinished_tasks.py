"""Stand-ins for AstroDrizzle that end before their product is whole; run in child processes."""

import os
import signal
import time
from pathlib import Path


def hangs(name, **_):
    Path(name).write_text("half a product")
    time.sleep(600)


def is_killed(name, **_):
    Path(name).write_text("half a product")
    os.kill(os.getpid(), signal.SIGKILL)

"""Read by Python at its start in child processes of tests (by PYTHONPATH): see look_up_guard."""

import look_up_guard

look_up_guard.watch()

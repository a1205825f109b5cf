from pathlib import Path

import pytest

from hst_assets.isolation import run_isolated


@pytest.fixture
def drizzlepac(tmp_path):
    """Run a task of `drizzlepac_tasks` in a fresh folder, or in one that is given."""

    def ask(task, arguments=None, folder=None, environment=None):
        if folder is None:
            folder = tmp_path / task
            folder.mkdir(exist_ok=True)
        return run_isolated(
            f"drizzlepac_tasks:{task}",
            arguments or {},
            scratch=folder,
            log_path=folder / "log.txt",
            timeout_s=900,  # runsinglehap on a busy machine
            environment={"PYTHONPATH": str(Path(__file__).parent), **(environment or {})},
        )

    return ask

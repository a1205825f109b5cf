from pathlib import Path

import pytest

from hst_assets.isolation import run_isolated
from hst_assets.simulate.plans import small_plan
from hst_assets_tests.hap.small_visit import exposures_with_poller, products_in
from hst_assets_tests.stand_ins.star_service import star_service


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
            timeout_s=300,
            environment={"PYTHONPATH": str(Path(__file__).parent), **(environment or {})},
        )

    return ask


@pytest.fixture(scope="session")
def truth(simulated):
    return simulated(small_plan("wfc3_ir", filters=("F110W", "F160W")))


@pytest.fixture(scope="session")
def visit(truth, tmp_path_factory):
    """A folder with the exposures and the poller, new at each call."""
    return lambda: exposures_with_poller(truth, tmp_path_factory.mktemp("visit"))


@pytest.fixture(scope="session")
def stars(truth):
    """What points HAP to a catalogue of the visit's stars."""
    with star_service(truth.stars, "ab_wfc3_ir_f110w").running() as server:
        yield {"ASTROMETRIC_CATALOG_URL": server.url}


@pytest.fixture(scope="session")
def pieces(visit, stars):
    """Folder of the visit's products, for reading, and answer of the command that made them."""
    folder = visit()
    return folder, products_in(folder, stars)

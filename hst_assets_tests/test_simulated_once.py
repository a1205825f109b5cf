from concurrent.futures import ThreadPoolExecutor

import pytest

from hst_assets.simulate.plans import small_plan
from hst_assets_tests import simulated_once
from hst_assets_tests.simulated_once import SimulatedOnce


@pytest.fixture
def rendered(monkeypatch):
    """The plans that were rendered, by a stand-in of the simulator that takes its time."""
    plans = []

    def simulate(plan, folder, *, max_cores):
        plans.append(plan)
        folder.mkdir()
        (folder / "plan").write_text(str(plan.seed))

    monkeypatch.setattr(simulated_once, "simulate_campaign", simulate)
    return plans


def test_workers_that_want_the_same_campaign_have_it_rendered_once(rendered, tmp_path):
    plan = small_plan("wfc3_ir")
    with ThreadPoolExecutor() as workers:
        truths = list(workers.map(lambda _: SimulatedOnce(tmp_path / "all")(plan), range(8)))
    assert rendered == [plan]
    assert len({truth.root for truth in truths}) == 1


def test_another_plan_is_another_campaign(rendered, tmp_path):
    simulated = SimulatedOnce(tmp_path)
    one, other = (simulated(small_plan("wfc3_ir", seed=seed)) for seed in (1, 2))
    assert [(truth.root / "plan").read_text() for truth in (one, other)] == ["1", "2"]


def test_a_campaign_whose_rendering_broke_off_is_rendered_again(monkeypatch, tmp_path):
    simulated = SimulatedOnce(tmp_path)

    def breaks_off(plan, folder, *, max_cores):
        folder.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(simulated_once, "simulate_campaign", breaks_off)
    with pytest.raises(KeyboardInterrupt):
        simulated(small_plan("wfc3_ir"))
    again = []
    monkeypatch.setattr(
        simulated_once, "simulate_campaign", lambda plan, folder, *, max_cores: again.append(folder)
    )
    assert simulated(small_plan("wfc3_ir")).root == again[0]

import dataclasses
import hashlib
import itertools
import os
import re
import subprocess
import sys

import pytest

from hst_assets.failures import BadConfiguration, MissingProduct
from hst_assets.simulate.campaign import (
    Subarray,
    VisitPlan,
    exposure_plans,
    load_plan,
    save_plan,
    simulate_campaign,
)
from hst_assets.simulate.plans import demo_plan, small_plan

KEYS = ["wfc3_uvis", "wfc3_ir", "acs_wfc", "acs_hrc", "wfpc2"]


def _tiny(n_visits=1, **changes):
    visit = VisitPlan(
        visit="iaaa01",
        detector_key="wfc3_ir",
        filters=("F110W", "F160W"),
        n_exposures=1,
        exptime_s=50.0,
        mjd=57000.3,
        subarray=Subarray(400, 400, 128, 128),
    )
    visits = tuple(
        dataclasses.replace(visit, visit=f"iaaa0{number + 1}") for number in range(n_visits)
    )
    return dataclasses.replace(small_plan("wfc3_ir"), visits=visits, **changes)


def _digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


_SCRIPT = """
import sys
from pathlib import Path
from hst_assets.simulate.campaign import load_plan, simulate_campaign
simulate_campaign(load_plan(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def test_the_same_plan_gives_the_same_bytes_in_another_process(tmp_path):
    plan = tmp_path / "plan.json"
    save_plan(_tiny(transient=demo_plan().transient), plan)
    digests = []
    for seed in ("0", "12345"):
        output = tmp_path / f"hash{seed}"
        subprocess.run(
            [sys.executable, "-c", _SCRIPT, str(plan), str(output)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )
        digests.append(_digests(output))
    assert digests[0] == digests[1]
    assert len(digests[0]) == 2 + 2 + 5  # exposures, their star lists, and the campaign's truth


def test_more_cores_give_the_same_bytes(tmp_path):
    plan = _tiny(n_visits=2)
    simulate_campaign(plan, tmp_path / "one")
    simulate_campaign(plan, tmp_path / "two", max_cores=2)
    assert _digests(tmp_path / "one") == _digests(tmp_path / "two")


def test_another_seed_gives_other_bytes_under_the_same_names(tmp_path):
    first = simulate_campaign(_tiny(), tmp_path / "first")
    other = simulate_campaign(_tiny(seed=99), tmp_path / "other")
    assert list(first.exposures["rootname"]) == list(other.exposures["rootname"])
    assert set(_digests(first.exposure_folder).values()).isdisjoint(
        _digests(other.exposure_folder).values()
    )


def test_adding_a_visit_leaves_the_exposures_of_the_others_as_they_were(tmp_path):
    one = simulate_campaign(_tiny(n_visits=1), tmp_path / "one")
    two = simulate_campaign(_tiny(n_visits=2), tmp_path / "two")
    before, after = _digests(one.exposure_folder), _digests(two.exposure_folder)
    assert before.items() <= after.items()
    assert len(after) == 2 * len(before)


@pytest.mark.parametrize("plan", [demo_plan(), *(small_plan(key) for key in KEYS)])
def test_a_plan_comes_back_from_disk_as_it_was(plan, tmp_path):
    save_plan(plan, tmp_path / "plan.json")
    assert load_plan(tmp_path / "plan.json") == plan


def test_a_file_that_is_no_plan_is_refused(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text('{"visits": []}')
    with pytest.raises(BadConfiguration, match="not the plan of a campaign"):
        load_plan(path)


def test_rootnames_are_of_the_archives_form_and_unique():
    plan = dataclasses.replace(
        _tiny(), visits=(dataclasses.replace(_tiny().visits[0], n_exposures=40),)
    )
    names = [one.rootname for one in exposure_plans(plan)]
    assert len(set(names)) == 80
    assert all(re.fullmatch(r"iaaa01[a-z][a-z0-9]q", name) for name in names)


def test_exposures_follow_each_other_in_time_and_are_dithered():
    exposures = exposure_plans(small_plan("wfc3_uvis", n_exposures=4))
    starts = [one.mjd for one in exposures]
    assert starts == sorted(starts)
    assert all(b.mjd > a.mjd_end for a, b in itertools.pairwise(exposures))
    assert len({(one.pointing.ra_deg, one.pointing.dec_deg) for one in exposures}) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"visit": "iaaa"}, "not a visit id"),
        ({"visit": "jaaa01"}, "begin with 'i'"),
        ({"filters": ("F606W",)}, "F606W cannot be simulated on wfc3_ir"),
        ({"filters": ()}, "needs filters"),
        ({"detector_key": "nicmos"}, "no detector 'nicmos'"),
        ({"exptime_s": 0.0}, "needs filters, exposures and time"),
        ({"subarray": Subarray(1000, 0, 100, 100)}, "not a part of"),
    ],
)
def test_a_visit_that_cannot_be_simulated_is_refused_before_anything_is_written(
    change, message, tmp_path
):
    plan = _tiny()
    plan = dataclasses.replace(plan, visits=(dataclasses.replace(plan.visits[0], **change),))
    with pytest.raises(BadConfiguration, match=message):
        simulate_campaign(plan, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_visit_planned_twice_is_refused():
    plan = _tiny()
    with pytest.raises(BadConfiguration, match="planned twice"):
        exposure_plans(dataclasses.replace(plan, visits=plan.visits * 2))


def test_a_detector_without_a_small_plan_is_refused():
    with pytest.raises(BadConfiguration, match="no detector 'acs_sbc'"):
        small_plan("acs_sbc")


def test_truth_that_was_never_written_is_missed(campaign):
    with pytest.raises(MissingProduct, match="no such truth"):
        campaign("wfc3_ir").positions("iaaa99a0q")

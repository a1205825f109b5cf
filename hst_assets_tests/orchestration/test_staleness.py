"""What a new exposure makes stale, counted: two targets of three visits each.

A visit more, or a target, is asked about and made in the same way, and takes as long again.
"""

from collections import Counter

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.build import build_defs
from hst_assets.orchestration.partition_keys import TARGET, VISIT, register
from hst_assets.orchestration.run_target import run_target
from hst_assets_tests.orchestration.conftest import instant_campaign

TARGETS = ("sn1", "sn2")
VISITS = tuple(f"iaaa0{n}" for n in range(2, 5))
GATHERS = {"target_exposures", "target_alignment", "hap_target_exposures"}

pytestmark = pytest.mark.slow


def _not_fresh(defs, instance, assets=None):
    """Every partition of every asset, or of those, that Dagster's rules call stale or missing."""
    graph = defs.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(
        instance=instance, asset_graph=graph, loading_context=LoadingContextForTest(instance)
    )
    found = set()
    for level in ASSETS.levels_from_raw:
        keys = instance.get_dynamic_partitions(VISIT if level.by_visit else TARGET)
        for asset in level.assets:
            if assets is not None and asset not in assets:
                continue
            for key in keys:
                if resolver.get_status(dg.AssetKey(asset), key) != StaleStatus.FRESH:
                    found.add((asset, key))
    return found


def _materialize_stale_until_fresh(defs, instance):
    """Do what automation does: run what is stale, level by level, until nothing is.

    Returns how many partitions of each asset were materialized.
    """
    counts = Counter()
    for _ in range(3):
        for level in ASSETS.levels_from_raw:
            for asset in level.assets:
                # Of it alone: what the whole graph costs is asked once a round.
                for _, key in sorted(_not_fresh(defs, instance, {asset})):
                    job = defs.resolve_job_def(level.job)
                    job.execute_in_process(
                        partition_key=key, asset_selection=[dg.AssetKey(asset)], instance=instance
                    )
                    counts[asset] += 1
        if not _not_fresh(defs, instance):
            return counts
    raise AssertionError(f"never fresh: {_not_fresh(defs, instance)}")


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        yield instant_campaign(tmp_path_factory.mktemp("staleness") / "root", patch)


@pytest.fixture(scope="module")
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture(scope="module")
def defs(campaign):
    return build_defs(root=str(campaign.root), table=campaign.table)


@pytest.fixture(scope="module")
def walked(campaign, defs, instance):
    for target in TARGETS:
        for visit in VISITS:
            campaign.add_exposure(target, visit)
        register(instance, target, VISITS)
    for target in TARGETS:
        list(run_target(defs, instance, campaign.workdir(target)))
    # Gathers of the targets walked first have since seen other targets' visits appear.
    _materialize_stale_until_fresh(defs, instance)
    return campaign


@pytest.fixture
def complete(walked, defs, instance):
    """Two targets of which everything is made; what a test makes stale it makes fresh again."""
    assert _not_fresh(defs, instance) == set()
    walked.ran.clear()
    return walked


def test_one_new_exposure_makes_only_its_own_chain_stale(complete, defs, instance):
    complete.add_exposure("sn2", "iaaa03", 1)
    job = defs.resolve_job_def("visit_exposures")
    job.execute_in_process(partition_key="sn2/iaaa03", instance=instance)
    counts = _materialize_stale_until_fresh(defs, instance)

    own_chain = {
        "reference_image": 1,
        "aligned_exposures": 1,
        "epoch_drizzles": 1,
        "drizzled_stacks": 1,
        "epoch_differences": 1,
        "colour_images": 1,
        "dolphot_inputs": 1,
        "dolphot_catalog": 1,
        "artificial_stars": 1,
        "light_curve": 1,
        "counterpart": 1,
    }
    assert {name: counts[name] for name in own_chain} == own_chain
    # Gathers see all visits through their mapping; they are tiny, and the other targets' return
    # the version they had, so that nothing behind them is stale.
    assert {counts[name] for name in GATHERS} <= {1, 2}
    # What really executed: the reference is sticky, so that not even it was made again.
    assert sorted(complete.ran) == [
        ("aligned_exposures", "sn2/iaaa03"),
        ("artificial_stars", "sn2"),
        ("colour_images", "sn2"),
        ("counterpart", "sn2"),
        ("dolphot_catalog", "sn2"),
        ("dolphot_inputs", "sn2"),
        ("drizzled_stacks", "sn2"),
        ("epoch_differences", "sn2"),
        ("epoch_drizzles", "sn2/iaaa03"),
        ("exposure_table", "sn2/iaaa03"),
        ("hap_aligned_exposures", "sn2/iaaa03"),
        ("hap_exposure_products", "sn2/iaaa03"),
        ("hap_filter_products", "sn2/iaaa03"),
        ("hap_hla_comparison", "sn2/iaaa03"),
        ("hap_manifest", "sn2/iaaa03"),
        ("hap_mosaics", "sn2"),
        ("hap_page", "sn2/iaaa03"),
        ("hap_plan", "sn2/iaaa03"),
        ("hap_point_catalogs", "sn2/iaaa03"),
        ("hap_quality", "sn2/iaaa03"),
        ("hap_segment_catalogs", "sn2/iaaa03"),
        ("hap_target_exposures", "sn2"),
        ("hap_total_products", "sn2/iaaa03"),
        ("light_curve", "sn2"),
        ("published_products", "sn2"),
        ("raw_exposures", "sn2/iaaa03"),
        ("target_alignment", "sn2"),
        ("target_exposures", "sn2"),
        ("target_report", "sn2"),
    ]


def test_a_new_reference_makes_its_own_targets_visits_stale(complete, defs, instance, monkeypatch):
    from hst_assets.orchestration.asset_table import ASSETS

    def moved(workdir, settings, *, redo=False, choose_afresh=False):
        ASSETS.product_path(workdir.root, "reference_image", workdir.target).unlink()
        return complete.step(
            workdir, "reference_image", workdir.target, {"moved": "yes"}, redo=redo
        )

    monkeypatch.setattr("hst_assets.astrometry.reference.image.make_reference", moved)
    defs.resolve_job_def("target_frame").execute_in_process(partition_key="sn1", instance=instance)
    counts = _materialize_stale_until_fresh(defs, instance)
    aligned = [key for asset, key in complete.ran if asset == "aligned_exposures"]
    assert sorted(aligned) == [f"sn1/{visit}" for visit in VISITS]
    assert counts["aligned_exposures"] == len(VISITS)
    assert counts["drizzled_stacks"] == 1

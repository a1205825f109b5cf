"""The asset of what is published: its checks, and what its runs do about passing failures."""

import dagster as dg
import pytest

from hst_assets.failures import AccessRefused, TransientFailure
from hst_assets.orchestration.asset_row import AssetRow
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.provenance import Made, Recipe, Result, make
from hst_assets_tests.orchestration.conftest import stand_in

ASSET = "published_products"
FACTS = {"n_files": 3, "n_by_checksum": 3, "n_by_size": 0, "not_sent": [], "outside": []}


@pytest.fixture
def judged(campaign):
    """What each check finds of a publication with these facts."""

    def judge(**facts):
        workdir = campaign.workdir("sn1").create()
        workdir.published.write_text("{}")
        result = Result((workdir.published,), {**FACTS, "notes": [], **facts})
        made: Made = make(Recipe(ASSET, "1"), workdir.published, workdir, lambda: result, redo=True)
        return {check.name: check.find(made, workdir) for check in ASSETS[ASSET].checks}

    return judge


def test_a_publication_of_which_all_is_well_passes(judged):
    found = judged()
    assert all(finding.passed for finding in found.values())
    assert found["publication_verified"].text == "3 files verified by checksum"


@pytest.mark.parametrize("name", ["not_sent", "lost"])
def test_what_is_not_published_is_named(judged, name):
    finding = judged(**{name: ["target_report: file changed: report.html"]})["all_published"]
    assert not finding.passed
    assert finding.severity == "WARN"
    assert "report.html" in finding.text


@pytest.mark.parametrize("name", ["outside", "notes"])
def test_what_is_not_to_be_mended_is_said_and_passes(judged, name):
    finding = judged(**{name: ["reference_image: /mine/reference.fits"]})["all_published"]
    assert finding.passed
    assert finding.text == "3 files are published; reference_image: /mine/reference.fits"


def test_sizes_alone_are_not_called_checked(judged):
    finding = judged(n_by_size=2, n_by_checksum=1)["publication_verified"]
    assert (finding.passed, finding.checked) == (False, False)
    assert finding.text.startswith("not checked: 2 of 3 files were verified by size alone")
    assert "publish with --check" in finding.text


@pytest.mark.parametrize(("failure", "n_tries"), [(TransientFailure, 3), (AccessRefused, 1)])
def test_a_run_of_the_daemon_tries_again_what_may_pass(
    campaign, daemon, instance, monkeypatch, failure, n_tries
):
    tries = []

    def make_it(*_arguments, **_options):
        tries.append(1)
        raise failure("on purpose")

    def maker(row):
        return make_it if row.name == ASSET else stand_in(campaign, row)

    monkeypatch.setattr(AssetRow, "maker", maker)
    policy = dg.RetryPolicy(max_retries=2, delay=0)
    monkeypatch.setattr("hst_assets.orchestration.assets.from_row.TRY_AGAIN", policy)
    campaign.add_exposure("sn1", "iaaa01")
    campaign.step(campaign.workdir("sn1"), "target_exposures", "sn1", {}, redo=False)
    instance.add_dynamic_partitions("hst_target", ["sn1"])
    assert not daemon.run("target_publication", "sn1").success
    assert len(tries) == n_tries

"""`hst-assets retry`: since when, and what is said."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from hst_assets.cli.retry import _moment
from hst_assets.failures import BadConfiguration

NOW = datetime(2026, 11, 30, 22, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("12h", datetime(2026, 11, 30, 10, 0, tzinfo=UTC)),
        ("2d", datetime(2026, 11, 28, 22, 0, tzinfo=UTC)),
        ("2026-11-30T20:00", datetime(2026, 11, 30, 20, 0, tzinfo=UTC)),
        ("2026-11-30T20:00+02:00", datetime(2026, 11, 30, 18, 0, tzinfo=UTC)),
    ],
)
def test_a_moment_is_how_long_ago_or_a_time(text, moment):
    assert _moment(text, NOW) == moment


def test_what_is_neither_is_refused():
    with pytest.raises(BadConfiguration, match="12h"):
        _moment("last night", NOW)


def test_without_failures_it_says_so(cli, root):
    done = cli("retry", "--since", "2h")
    assert done.code == 0
    assert "nothing failed since" in done.out


def test_a_target_that_is_not_there_is_refused(cli, root):
    done = cli("retry", "--target", "sn2023ixff")
    assert done.code != 0
    assert "sn2023ixff" in done.out + done.err
    assert "nothing failed" not in done.out


def test_a_retired_target_is_refused_with_what_to_do(cli, root):
    cli("target", "add", "sn1", "150.1", "2.2")
    cli("target", "retire", "sn1")
    done = cli("retry", "--target", "sn1")
    assert done.code != 0
    assert "'hst-assets target add sn1' follows it again" in done.out + done.err


def test_what_failed_is_listed_and_what_has_no_inputs_is_named(cli, root):
    cli("target", "add", "sn1", "150.1", "2.2")
    with dg.DagsterInstance.get() as instance:
        for visit in ("iaaa01", "iaaa02"):
            instance.create_run_for_job(
                dg.GraphDefinition("visit_exposures").to_job(),
                status=dg.DagsterRunStatus.FAILURE,
                tags={"dagster/partition": f"sn1/{visit}"},
            )
    lacking = "raw/ has no verified exposure of it"
    done = cli("retry", "--dry-run")
    assert done.out.splitlines() == [
        "visit_exposures: 2 failed: sn1/iaaa01, sn1/iaaa02",
        f"  not requested until that changes ({lacking}): sn1/iaaa01, sn1/iaaa02",
    ]

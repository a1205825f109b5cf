"""MAST through the real astroquery, on loopback: what is asked, and what each fault means."""

import itertools
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from hst_assets.archive.query import query_archive
from hst_assets.archive.services import MOST_OBSIDS, Criteria, MastServices
from hst_assets.failures import (
    AccessRefused,
    BadConfiguration,
    MissingTool,
    NothingFound,
    TransientFailure,
)
from hst_assets.settings import Settings
from hst_assets_tests.stand_ins.caom import request_of
from hst_assets_tests.stand_ins.holdings import Holdings
from hst_assets_tests.stand_ins.mast import Mast

RA, DEC = 150.1, 2.2
#: Short enough for a test, long enough for a loaded machine to answer.
TIMEOUT_S = 0.5


@pytest.fixture(scope="module")
def holdings():
    made = Holdings()
    made.add_visit("jaaa01", "acs_wfc", RA, DEC)
    made.add_visit("ibbb01", "wfc3_ir", RA, DEC, n_exposures=1)
    made.add_visit("uccc01", "wfpc2", RA, DEC, n_exposures=1, mjd=50000.0)
    made.add_visit("jddd01", "acs_wfc", RA, DEC, data_rights="EXCLUSIVE_ACCESS")
    made.add_strangers(RA, DEC)
    return made


@pytest.fixture
def mast(holdings):
    with Mast(holdings) as served:
        yield served
        served.heal()


def settings_of(mast, *, selection=None, target=None, **archive):
    tries = {"timeout_s": TIMEOUT_S, "max_tries": 1, "first_wait_s": 0.01}
    return Settings.model_validate(
        {
            "target": {"ra_deg": RA, "dec_deg": DEC} if target is None else target,
            "archive": {**mast.settings(), **tries, **archive},
            "selection": selection or {},
        }
    )


def asked_filters(mast, route):
    """What the portal was asked to filter by: column to values."""
    (asked,) = mast.asked(route)
    filters = request_of(asked.body)["params"]["filters"]
    return {each["paramName"]: each["values"] for each in filters}


# ---------------------------------------------------------------------------------- an answer


def test_exactly_the_public_exposures_are_listed(mast):
    listing = query_archive(settings_of(mast))
    assert [product.name for product in listing.products] == [
        "ibbb01aaq_flt.fits",
        "jaaa01aaq_flc.fits",
        "jaaa01abq_flc.fits",
        "uccc01aaq_c0m.fits",
        "uccc01aaq_c1m.fits",
    ]
    assert listing.cross_checked
    assert listing.discrepancies == ()


def test_sizes_are_those_of_the_files(mast):
    for product in query_archive(settings_of(mast)).products:
        assert product.size == len(mast.files.files[product.name].content)


def test_two_requests_for_columns_and_one_for_each_question(mast):
    query_archive(settings_of(mast))
    assert {route: mast.count(route) for route in ("columnsconfig", "caom.*", "missions.*")} == {
        "columnsconfig": 2,
        "caom.*": 2,
        "missions.*": 1,
    }


def test_the_portal_filters_by_mission_and_instrument(mast):
    query_archive(settings_of(mast, detectors=["wfc3_ir"]))
    filters = asked_filters(mast, "caom.filtered.position")
    assert filters == {"obs_collection": ["HST"], "instrument_name": ["WFC3/IR"]}


def test_the_portal_filters_by_dates(mast):
    listing = query_archive(
        settings_of(mast, selection={"before": "1999-01-01", "after": "1990-06-01"})
    )
    assert {product.visit for product in listing.products} == {"uccc01"}
    filters = asked_filters(mast, "caom.filtered.position")
    assert filters["t_min"] == [{"min": 0.0, "max": 51181.0}]
    assert filters["t_max"] == [{"min": 48041.0, "max": 1e6}]


def test_a_proposal_alone_is_asked_for_without_a_position(mast):
    listing = query_archive(settings_of(mast, target={}, proposals=[12345]))
    assert len(listing.visits()) == 3
    assert asked_filters(mast, "caom.filtered")["proposal_id"] == ["12345"]
    assert mast.count("caom.filtered.position") == 0


def test_product_lists_come_in_batches(mast):
    services = MastServices(settings_of(mast).archive)
    known = str(mast.holdings.observations()[0].row["obsid"])
    services.products([known, *(str(number) for number in range(1, MOST_OBSIDS))])
    (asked,) = mast.asked("caom.products")
    assert len(request_of(asked.body)["params"]["obsid"].split(",")) == MOST_OBSIDS
    with pytest.raises(ValueError, match="in one request"):
        services.products([str(number) for number in range(MOST_OBSIDS + 1)])


def test_many_observations_take_few_requests():
    holdings = Holdings(noise=False)
    for number in range(MOST_OBSIDS + 1):
        holdings.add_visit(f"j{number:05}", "acs_wfc", RA, DEC, n_exposures=1)
    with Mast(holdings) as mast:
        listing = query_archive(settings_of(mast, timeout_s=10))
        assert len(listing.products) == MOST_OBSIDS + 1
        assert mast.count("caom.products") == 2


def test_the_missions_search_is_asked_page_after_page(mast, monkeypatch):
    monkeypatch.setattr("hst_assets.archive.services._PAGE", 2)
    criteria = Criteria((RA, DEC), 5.0, (), ("ACS/WFC", "WFC3/IR", "WFPC2/WFC"))
    rows = MastServices(settings_of(mast).archive).datasets(criteria)
    names = [row["sci_data_set_name"] for row in rows]
    assert len(names) == len(set(names)) > 4
    assert mast.count("missions.search") == -(-len(names) // 2)


def test_pages_of_the_portal_are_put_together(mast):
    services = MastServices(settings_of(mast).archive)
    services._observations._portal_api_connection.PAGESIZE = 2
    criteria = Criteria((RA, DEC), 5.0, (), ("ACS/WFC",))
    names = [row["obs_id"] for row in services.observations(criteria)]
    assert len(set(names)) == len(names) > 2
    assert mast.count("caom.filtered.position") == -(-len(names) // 2)


def test_members_of_an_association_are_taken_once():
    holdings = Holdings()
    rootnames = [each.obs_id for each in holdings.add_visit("jaaa01", "acs_wfc", RA, DEC)]
    holdings.associate("jaaa01010", rootnames, members_listed=True)
    with Mast(holdings) as served:
        listing = query_archive(settings_of(served))
        assert [product.rootname for product in listing.products] == rootnames
        assert listing.discrepancies == ()
        holdings.hide(rootnames[0])
        assert len(query_archive(settings_of(served)).products) == len(rootnames)


# -------------------------------------------------------------------------------- manners


def test_nothing_is_said_and_no_warning_escapes(mast, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        query_archive(settings_of(mast))
        with pytest.raises(NothingFound):
            query_archive(settings_of(mast, target={"ra_deg": 1.0, "dec_deg": 1.0}))
    assert capfd.readouterr() == ("", "")


def test_the_token_of_the_environment_stays_there(mast, monkeypatch):
    monkeypatch.setenv("MAST_API_TOKEN", "a-secret")
    query_archive(settings_of(mast))
    assert all("a-secret" not in repr(asked) for asked in mast.asked())


def test_no_file_is_left_in_the_home(mast, tmp_path):
    code = (
        "import sys\n"
        "from hst_assets.archive.query import query_archive\n"
        "from hst_assets.settings import Settings\n"
        "query_archive(Settings.model_validate_json(sys.argv[1]))"
    )
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    environment = {**kept, "HOME": str(tmp_path)}
    settings = settings_of(mast, timeout_s=20).model_dump_json()
    done = subprocess.run(
        [sys.executable, "-c", code, settings],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_clients_do_not_change_what_others_share(mast):
    from astroquery.mast import Conf, Observations
    from astroquery.mast.discovery_portal import PortalAPI

    before = dict(PortalAPI._column_configs), PortalAPI.MAST_REQUEST_URL, Conf().server
    query_archive(settings_of(mast))
    assert (dict(PortalAPI._column_configs), PortalAPI.MAST_REQUEST_URL, Conf().server) == before
    assert mast.url not in Observations._portal_api_connection.MAST_REQUEST_URL


# --------------------------------------------------------------------------------- faults


PASSING = [
    "500",
    "502",
    "503",
    "429",
    "408",
    "silence",
    "stall",
    "reset",
    "reset:0",
    "refuse",
    "truncate",
    "truncate:0",
    "cut",
    "html",
    "blank",
]
REFUSED = ["400", "401", "403", "404"]


@pytest.mark.parametrize("route", ["columnsconfig", "caom.filtered.position", "caom.products"])
@pytest.mark.parametrize("fault", PASSING)
def test_a_service_out_of_order_is_a_failure_that_may_pass(mast, route, fault):
    mast.inject(route, fault, times=None)
    with pytest.raises(TransientFailure) as caught:
        query_archive(settings_of(mast))
    assert mast.url in str(caught.value)


@pytest.mark.parametrize("route", ["columnsconfig", "caom.filtered.position", "caom.products"])
@pytest.mark.parametrize("fault", REFUSED)
def test_a_rejected_request_is_refused_and_not_tried_again(mast, route, fault):
    mast.inject(route, fault, times=None)
    with pytest.raises(AccessRefused, match=f"HTTP {fault}"):
        query_archive(settings_of(mast, max_tries=3))
    assert len(mast.asked(route)) == 1


@pytest.mark.parametrize("route", ["caom.filtered.position", "caom.products"])
def test_the_portals_own_error_may_pass_and_its_words_are_kept(mast, route):
    mast.inject(route, "error:the database is away", times=None)
    with pytest.raises(TransientFailure, match="the database is away"):
        query_archive(settings_of(mast))


@pytest.mark.parametrize("route", ["caom.filtered.position", "caom.products"])
@pytest.mark.parametrize("fault", ["executing", "drip"])
def test_an_answer_that_never_comes_to_an_end_is_given_up(mast, route, fault):
    mast.inject(route, fault, times=None)
    start = time.monotonic()
    with pytest.raises(TransientFailure):
        query_archive(settings_of(mast, timeout_s=0.2))
    assert 1.9 < time.monotonic() - start < 10


def test_a_query_that_is_executing_is_asked_for_again_after_a_pause(mast):
    mast.inject("caom.filtered.position", "executing", times=3)
    assert len(query_archive(settings_of(mast, timeout_s=5)).products) == 5
    moments = [asked.moment for asked in mast.asked("caom.filtered.position")]
    pauses = [after - before for before, after in itertools.pairwise(moments)]
    assert len(pauses) == 3
    assert pauses[0] >= 0.25
    assert pauses[2] >= 1.0


@pytest.mark.parametrize("route", ["columnsconfig", "caom.filtered.position", "caom.products"])
@pytest.mark.parametrize("fault", ["503", "html", "reset", "refuse", "cut", "error"])
def test_what_passes_is_tried_again(mast, route, fault):
    mast.inject(route, fault, times=2)
    assert len(query_archive(settings_of(mast, max_tries=3)).products) == 5


def test_a_service_that_asks_for_patience_gets_it(mast):
    mast.inject("caom.products", "503:1", times=1)
    query_archive(settings_of(mast, max_tries=2))
    before, after = (asked.moment for asked in mast.asked("caom.products"))
    assert after - before >= 1.0  # settings alone would wait 0.02 s at most


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("discovery_portal.PortalAPI", "MAST_REQUEST_URL"),
        ("discovery_portal.PortalAPI", "_column_configs"),
        ("services.ServiceAPI", "SERVICE_URL"),
    ],
)
def test_an_astroquery_that_works_otherwise_is_not_asked_elsewhere(monkeypatch, mast, part, name):
    import astroquery.mast

    astroquery.mast.Observations  # noqa: B018 - what is made at import is made before
    monkeypatch.delattr(f"astroquery.mast.{part}.{name}")
    with pytest.raises(MissingTool, match=f"has no .*{name}"):
        query_archive(settings_of(mast))
    assert not mast.asked("caom.*")


def test_tries_come_to_an_end(mast):
    mast.inject("caom.filtered.position", "503", times=None)
    with pytest.raises(TransientFailure):
        query_archive(settings_of(mast, max_tries=3))
    assert mast.count("caom.filtered.position") == 3


def test_a_product_list_without_any_product_is_no_answer(mast):
    mast.inject("caom.products", "empty", times=None)
    with pytest.raises(TransientFailure, match="lists no products for"):
        query_archive(settings_of(mast))


def test_no_observations_is_an_answer(mast):
    mast.inject("caom.filtered.position", "empty", times=None)
    with pytest.raises(NothingFound):
        query_archive(settings_of(mast))


def test_an_outage_in_the_middle_is_no_part_of_an_answer(mast):
    mast.outage_after(3)
    with pytest.raises(TransientFailure):
        query_archive(settings_of(mast))


def test_a_closed_port_is_a_failure_that_may_pass(mast):
    with mast.down(), pytest.raises(TransientFailure):
        query_archive(settings_of(mast))


@pytest.mark.looks_up("nowhere.invalid")
def test_an_unknown_host_is_a_failure_that_may_pass(mast):
    with pytest.raises(TransientFailure, match=r"nowhere\.invalid"):
        query_archive(settings_of(mast, mast_url="http://nowhere.invalid"))


@pytest.mark.parametrize("url", ["no address", "ftp://127.0.0.1/", "http://", "127.0.0.1:80"])
def test_what_is_no_address_is_a_wrong_setting(mast, url):
    with pytest.raises(BadConfiguration):
        query_archive(settings_of(mast, mast_url=url, max_tries=3))


@pytest.mark.parametrize("fault", [*PASSING, *REFUSED, "error", "executing"])
def test_no_fault_of_the_second_catalogue_fails_the_query(mast, fault):
    mast.inject("missions.*", fault, times=None)
    listing = query_archive(settings_of(mast))
    assert len(listing.products) == 5
    assert not listing.cross_checked
    assert listing.notes[-1].startswith("no cross-check with the Missions search: ")


def test_recorded_rows_are_read():
    """Rows as MAST wrote them once, in numbers where the columns say text."""
    from hst_assets.archive.observation_rules import (
        Wanted,
        observation_from_caom,
        reason_to_leave_out,
    )

    row = {
        "dataproduct_type": "image",
        "obs_collection": "HST",
        "instrument_name": "WFPC2/WFC",
        "project": "HST",
        "filters": "F814W",
        "obs_id": "U27XCS01T",
        "s_ra": 23.11817129395,
        "s_dec": 60.64213575852,
        "proposal_id": "5371",
        "calib_level": 3,
        "t_min": 49756.25506,
        "t_max": 49756.27242,
        "t_exptime": 1500,
        "t_obs_release": 50121.7945,
        "s_region": "POLYGON GSC1  23.17474785  60.66012593  23.15424076  60.61702967  "
        "23.06645518  60.62703769  23.08684334  60.67014825  23.17474785  60.66012593",
        "obsid": 2003585980,
        "_selected_": None,
    }
    observation = observation_from_caom(row)
    settings = Settings.model_validate({"target": {"ra_deg": 23.12, "dec_deg": 60.64}})
    assert reason_to_leave_out(observation, Wanted(settings, 60000.0)) == ""
    assert (observation.obs_id, observation.obsid) == ("u27xcs01t", "2003585980")

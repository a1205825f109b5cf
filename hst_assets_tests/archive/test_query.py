"""The query as a whole, on services without a network."""

import time

import astropy.units as u
import pytest
from astropy.coordinates import SkyCoord

from hst_assets.archive.query import find_exposures, query_archive, question_of
from hst_assets.archive.services import MOST_OBSIDS
from hst_assets.failures import BadConfiguration, NothingFound, TransientFailure
from hst_assets.settings import Settings
from hst_assets_tests.stand_ins.archive_services import (
    PLACE,
    SQUARE,
    UVIS,
    WFPC2,
    ArchiveServices,
)

NOW = 60000.0
TARGET = {"ra_deg": PLACE[0], "dec_deg": PLACE[1]}


@pytest.fixture
def services():
    made = ArchiveServices()
    for index in range(3):
        made.add(f"J8BT06N{index}Q")
    return made


def settings_of(*, target=TARGET, archive=None, selection=None):
    content = {"target": target, "archive": archive or {}, "selection": selection or {}}
    return Settings.model_validate(content)


def ask(services, **sections):
    return query_archive(settings_of(**sections), services=services, now_mjd=NOW)


# ---------------------------------------------------------------------------------- answers


def test_products_are_sorted_and_gathered_by_visit(services):
    services.add("U27X0A01T", suffixes=("c1m", "c0m", "d0m"), **WFPC2)
    services.rows.reverse()
    listing = ask(services)
    assert list(listing.visits()) == ["j8bt06", "u27x0a"]
    assert [p.suffix for p in listing.visits()["u27x0a"].products] == ["c0m", "c1m"]
    assert list(listing.products) == sorted(listing.products)


def test_what_is_left_out_has_its_reason(services):
    services.add("hst_10424_06_acs_wfc_f606w_j8bt06n0", project="HAP")
    services.add("J8BT06N8Q", dataRights="EXCLUSIVE_ACCESS")
    services.add("IBBT06N9Q", suffixes=("raw", "flt"), **UVIS)
    reasons = {excluded.observation: excluded.reason for excluded in ask(services).excluded}
    assert {name: reason.partition(":")[0] for name, reason in reasons.items()} == {
        "hst_10424_06_acs_wfc_f606w_j8bt06n0": "high-level product",
        "j8bt06n8q": "data rights",
        "ibbt06n9q": "product",
    }


def test_eight_character_rootnames_do_not_come_in_as_second_copies(services):
    before = ask(services).products
    for suffixes in (("flc",), ("flt", "drc")):
        services.add("hst_10424_06_acs_wfc_f606w_j8bt06n0", suffixes, project="HAP")
        services.add("j8bt06n0", suffixes)
    assert ask(services).products == before


def test_the_answer_does_not_depend_on_the_order_of_rows(services):
    services.add("J8BT06010", members=("j8bt06n0q", "j8bt06naq"))
    first = ask(services)
    services.rows.reverse()
    services.files.reverse()
    services.sets.reverse()
    assert ask(services) == first


def test_a_row_that_comes_twice_counts_once(services):
    first = ask(services)
    services.rows += services.rows
    services.files += services.files
    assert ask(services) == first


def test_a_member_out_of_the_field_does_not_come_in_through_its_association(services):
    services.add("J8BT06NAQ", s_region="CIRCLE 150.5 2.0 0.01")
    services.add("J8BT06010", members=("j8bt06naq", "j8bt06nbq"))
    taken = {product.rootname for product in ask(services).products}
    assert "j8bt06nbq" in taken
    assert "j8bt06naq" not in taken


def test_a_member_that_stands_raw_by_itself_comes_through_its_association(services):
    services.add("J8BT06NAQ", suffixes=("raw",), calib_level=1)
    services.add("J8BT06010", members=("j8bt06naq",))
    assert "j8bt06naq" in {product.rootname for product in ask(services).products}


@pytest.mark.parametrize("region", [None, "", "POLYGON ICRS 1 2", f"POLYGON GALACTIC {SQUARE}"])
def test_an_exposure_whose_footprint_cannot_be_read_is_kept_and_noted(services, region):
    services.add("J8BT06N9Q", s_region=region)
    listing = ask(services)
    assert "j8bt06n9q" in {product.rootname for product in listing.products}
    assert [note for note in listing.notes if "j8bt06n9q is included although" in note]


def test_a_proposal_needs_no_position(services):
    listing = ask(services, target={}, archive={"proposals": 10424})
    assert len(listing.products) == 3
    ((_, criteria), *_) = services.asked
    assert (criteria.position, criteria.proposals) == (None, ("10424",))


# ------------------------------------------------------------------------------ what is asked


def test_product_lists_are_asked_for_in_batches(services):
    for index in range(2 * MOST_OBSIDS):
        services.add(f"J9{index:04}N0Q")
    ask(services)
    batches = [obsids for kind, obsids in services.asked if kind == "products"]
    assert [len(batch) for batch in batches] == [MOST_OBSIDS, MOST_OBSIDS, 3]
    assert len({obsid for batch in batches for obsid in batch}) == 2 * MOST_OBSIDS + 3


def test_no_product_list_of_what_is_left_out(services):
    left_out = services.add("J8BT06N9Q", t_exptime=1.0)
    ask(services)
    asked = {obsid for kind, batch in services.asked if kind == "products" for obsid in batch}
    assert str(left_out["obsid"]) not in asked


def test_no_product_list_at_all_if_nothing_is_wanted(services):
    with pytest.raises(NothingFound):
        ask(services, selection={"only_filter": "F814W"})
    assert services.count("products") == 0


def test_the_services_are_asked_for_no_less_than_is_wanted(services):
    ask(
        services,
        archive={"detectors": ["wfpc2", "acs_wfc"], "radius_arcmin": 3},
        selection={"after": "2003-01-01", "before": "2005-01-01"},
    )
    ((_, criteria), *_) = services.asked
    assert criteria.position == PLACE
    assert criteria.radius_arcmin == 3
    assert {"ACS/WFC", "WFPC2", "WFPC2/WFC", "WFPC2/PC"} <= set(criteria.instrument_names)
    assert "WFC3/IR" not in criteria.instrument_names
    assert criteria.begin_mjd < 52640.0
    assert criteria.end_mjd > 53371.0


@pytest.mark.parametrize(
    "sections",
    [
        {"target": {}},
        {"archive": {"instruments": ["WFC3"], "detectors": ["acs_wfc"]}},
    ],
)
def test_a_question_about_nothing_is_a_wrong_setting(services, sections):
    with pytest.raises(BadConfiguration):
        ask(services, **sections)
    assert services.asked == []


# -------------------------------------------------------------------------------- nothing found


def test_nothing_found_says_what_was_seen(services):
    services.add("hst_10424_06_acs_wfc_f606w_j8bt06n0", project="HAP")
    with pytest.raises(NothingFound) as caught:
        ask(services, selection={"only_filter": "F814W"})
    text = str(caught.value)
    assert "none of its 4 observations matches" in text
    assert "3 by 'filter' (such as j8bt06n0q: F606W is not among F814W (only_filter))" in text
    assert "1 by 'high-level product'" in text
    assert "within 5 arcmin of 150.00000, +2.00000" in text


def test_nothing_at_all_is_said_so():
    with pytest.raises(NothingFound, match="it has no observation"):
        ask(ArchiveServices())


def test_a_failure_of_the_service_is_no_empty_answer(services, monkeypatch):
    def fail(obsids):
        raise TransientFailure("the service is out of order")

    monkeypatch.setattr(services, "products", fail)
    with pytest.raises(TransientFailure):
        ask(services)


# ------------------------------------------------------------------------------- the question


ASKED = [
    {"target": {"ra_deg": 150.1, "dec_deg": 2.0}},
    {"target": {}, "archive": {"proposals": [1]}},
    *(
        {"archive": {key: value}}
        for key, value in {
            "proposals": [1],
            "radius_arcmin": 4,
            "instruments": ["ACS"],
            "detectors": ["acs_wfc"],
            "max_exptime_s": 9,
            "calib_levels": [3],
            "data_rights": "all",
            "must_hold_target": False,
            "footprint_slack_arcsec": 9,
            "mast_url": "http://127.0.0.1:1",
        }.items()
    ),
    *(
        {"selection": {key: value}}
        for key, value in {
            "before": "2020-01-01",
            "after": "2020-01-01",
            "only_filter": "F606W",
            "only_wide": True,
            "min_exptime_s": 9,
            "keep_short": True,
            "footprint_margin_arcsec": 1,
        }.items()
    ),
]
NOT_ASKED = [
    {"target": {**TARGET, "retired": True}},
    *(
        {"archive": {key: value}}
        for key, value in {
            "query": True,
            "object": "NGC 104",
            "listing_max_age_s": 1,
            "recheck_after_days": 1,
            "n_workers": 1,
            "timeout_s": 1,
            "max_tries": 1,
            "first_wait_s": 1,
            "sesame_url": "http://127.0.0.1:1/",
            "s3": True,
            "s3_url": "http://127.0.0.1:1",
            "tree": "/tree",
            "mast_url": "https://mast.stsci.edu/",
            "instruments": ["WFPC2", "ACS", "WFC3"],
            "calib_levels": [3, 2],
        }.items()
    ),
    {"selection": {"keep_indt": True}},
    {"selection": {"keep_tdf_down": True}},
    {"selection": {"keep_gsfail": True}},
    {"selection": {"keep_charge_injection": True}},
]


def test_whatever_is_asked_changes_the_question():
    questions = [question_of(settings_of(**sections)) for sections in [{}, *ASKED]]
    assert len(set(questions)) == len(questions)


@pytest.mark.parametrize("sections", NOT_ASKED, ids=str)
def test_what_is_not_asked_does_not_change_the_question(sections):
    assert question_of(settings_of(**sections)) == question_of(settings_of())


def test_every_setting_of_the_archive_is_asked_or_not():
    known = {key for case in [*ASKED, *NOT_ASKED] for key in case.get("archive", {})}
    assert known == set(type(Settings().archive).model_fields)
    known = {key for case in [*ASKED, *NOT_ASKED] for key in case.get("selection", {})}
    assert known == set(type(Settings().selection).model_fields)


def test_the_same_moment_written_otherwise_is_the_same_question():
    first = settings_of(selection={"after": "2020-01-01"})
    second = settings_of(selection={"after": "2020-01-01T00:00:00"})
    assert question_of(first) == question_of(second)


# --------------------------------------------------------------------------- for notebook users


def test_find_exposures_takes_quantities_in_any_unit_and_frame(services):
    position = SkyCoord(*PLACE, unit="deg").galactic
    listing = find_exposures(
        position, radius=120 * u.arcsec, max_exptime=10 * u.min, services=services
    )
    ((_, criteria), *_) = services.asked
    assert criteria.radius_arcmin == pytest.approx(2.0)
    assert criteria.position == pytest.approx(PLACE, abs=1e-9)
    assert len(listing.products) == 3


def test_find_exposures_takes_quantities_as_text(services):
    services.add("J8BT06N9Q", t_exptime=700.0)
    listing = find_exposures(
        proposals=[10424], radius="2 arcmin", max_exptime="10 min", services=services
    )
    found = {product.rootname for product in listing.products}
    assert found
    assert "j8bt06n9q" not in found


def test_find_exposures_takes_only_what_is_asked(services):
    services.add("J8BT06N9Q", filters="F814W;CLEAR2L")
    listing = find_exposures(
        proposals=[10424], filters="F814W", detectors="acs_wfc", services=services
    )
    assert [product.rootname for product in listing.products] == ["j8bt06n9q"]


@pytest.mark.parametrize("asked", [{"radius": -1 * u.deg}, {"colour": "blue"}], ids=str)
def test_find_exposures_refuses_a_wrong_question(services, asked):
    with pytest.raises(BadConfiguration):
        find_exposures(SkyCoord(*PLACE, unit="deg"), services=services, **asked)


def test_find_exposures_takes_no_radius_without_a_unit(services):
    with pytest.raises(u.UnitsError):
        find_exposures(SkyCoord(*PLACE, unit="deg"), radius=5, services=services)


# ------------------------------------------------------------------------------------- speed


def test_five_hundred_visits_take_little_time():
    services = ArchiveServices()
    every = ("raw", "flt", "flc", "drz", "drc", "spt", "jit", "jif", "trl", "asn")
    for visit in range(500):
        for index in range(4):
            services.add(f"J{visit:05}N{index}Q", every)
    start = time.process_time()
    listing = ask(services)
    assert len(listing.visits()) == 500
    assert time.process_time() - start < 5.0

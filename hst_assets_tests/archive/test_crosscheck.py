"""The second opinion of the Missions search."""

import pytest

from hst_assets.archive.query import query_archive
from hst_assets.settings import Settings
from hst_assets_tests.stand_ins.archive_services import PLACE, ArchiveServices, dataset_of, row_of

NOW = 60000.0


@pytest.fixture
def services():
    made = ArchiveServices()
    for index in range(3):
        made.add(f"J8BT06N{index}Q")
    return made


def listing(services, **archive):
    target = dict(zip(("ra_deg", "dec_deg"), PLACE, strict=True))
    settings = Settings.model_validate({"target": target, "archive": archive})
    return query_archive(settings, services=services, now_mjd=NOW)


def test_catalogues_that_agree_have_no_discrepancy(services):
    found = listing(services)
    assert found.cross_checked
    assert found.discrepancies == ()


def test_an_exposure_that_the_second_lacks_is_told(services):
    del services.sets[1]
    assert listing(services).discrepancies == ("j8bt06n1q is not in the Missions search",)


def test_an_exposure_near_the_edge_of_the_cone_may_be_in_one_answer_only(services):
    row = services.add("J8BT06N9Q", s_dec=PLACE[1] + 4 / 60, s_region=None)
    services.sets = [s for s in services.sets if s["sci_data_set_name"] != row["obs_id"]]
    assert listing(services).discrepancies == ()


def test_an_exposure_that_only_the_second_has_is_told(services):
    services.sets.append(dataset_of(row_of("j8bt07n0q")))
    assert listing(services).discrepancies == ("j8bt07n0q is in the Missions search only",)


def test_what_the_second_has_and_nobody_wants_is_no_discrepancy(services):
    services.sets += [
        dataset_of(row_of("j8bt07n0q"), sci_instrument_config="STIS/CCD"),
        dataset_of(row_of("j8bt07n1q"), sci_actual_duration=1.0),
        dataset_of(row_of("j8bt07n2q"), sci_status="PROPRIETARY"),
        dataset_of(row_of("j8bt07n3q"), sci_aec="C"),
        dataset_of(row_of("j8bt07n4q"), sci_obs_type="SPECTRUM"),
    ]
    assert listing(services).discrepancies == ()


def test_what_the_catalogues_judge_differently_is_told(services):
    services.sets[0]["sci_status"] = "PROPRIETARY"
    services.add("J8BT06N9Q", dataRights="EXCLUSIVE_ACCESS")
    services.sets[-1]["sci_status"] = "PUBLIC"
    taken, left_out = listing(services).discrepancies
    assert taken.startswith("j8bt06n0q is included, but the Missions search says: data rights: ")
    assert left_out.startswith("j8bt06n9q is excluded (data rights: ")


def test_an_entry_that_says_nothing_of_the_instrument_says_nothing_else(services):
    services.sets[0]["sci_instrument_config"] = None
    assert listing(services).discrepancies == ()


def test_a_footprint_is_nothing_the_second_can_judge(services):
    services.add("J8BT06N9Q", s_region="CIRCLE 150.5 2.0 0.01")
    assert listing(services).discrepancies == ()


def test_members_of_an_association_are_covered_by_it(services):
    members = ("j8bt06naq", "j8bt06nbq")
    services.add("J8BT06010", members=members)
    # The second catalogue may know more exposures of it than have files.
    services.sets += [dataset_of(row_of(name)) for name in (*members, "j8bt06ncq")]
    assert listing(services).discrepancies == ()


def test_its_failure_is_a_note(services):
    services.missions_fail = True
    found = listing(services)
    assert len(found.products) == 3
    assert not found.cross_checked
    assert found.notes == ("no cross-check with the Missions search: the service is out of order",)


def test_many_discrepancies_are_bounded(services):
    services.sets += [dataset_of(row_of(f"j8bt{index:02}n0q")) for index in range(10, 99)]
    found = listing(services).discrepancies
    assert len(found) == 50
    assert found[-1] == "and 40 more"

"""What the archive lists comes into raw/: whole, once, and safe against whatever happens."""

import stat

import pytest

from hst_assets.archive.download import NotFetched
from hst_assets.archive.fetch_history import change_fetch_history, read_fetch_history
from hst_assets.archive.sync import outstanding
from hst_assets.exposures.ingest import ingest
from hst_assets.exposures.raw import check_raw
from hst_assets.failures import (
    AccessRefused,
    NothingFound,
    TransientFailure,
    UnusableInput,
)
from hst_assets.settings import load_settings
from hst_assets_tests.archive.small_archive import (
    SmallArchive,
    blank,
    by_hand,
    delivered_names,
    failures,
    left_in_staging,
    unchanged_names,
)

ONE, TWO, THREE = "jddd04ghq", "jddd04giq", "jddd04gjq"
A, B, C = (f"{rootname}_flt.fits" for rootname in (ONE, TWO, THREE))
PAIR = "ueee05ijm"
C0M, C1M = f"{PAIR}_c0m.fits", f"{PAIR}_c1m.fits"


# ------------------------------------------------------------------------------ the good way


def test_a_visit_comes_into_raw(stocked):
    delivery = stocked.sync_visit()
    assert delivered_names(delivery) == [A, B]
    assert (delivery.unchanged, delivery.failed, delivery.notes) == ((), (), ())
    assert stocked.in_raw() == stocked.as_served(A, B)
    assert [file.name for file in check_raw(stocked.workdir, full=True)] == [A, B]


def test_other_visits_are_left_alone(stocked):
    stocked.add("jddd05gha")
    stocked.sync_visit()
    assert sorted(stocked.in_raw()) == [A, B]


def test_nothing_is_left_in_staging(stocked):
    stocked.sync_visit()
    assert left_in_staging(stocked) == []


def test_delivered_files_are_read_only_and_have_one_name(stocked):
    stocked.sync_visit()
    status = (stocked.workdir.raw / A).stat()
    assert (stat.S_IMODE(status.st_mode), status.st_nlink) == (0o444, 1)


def test_a_rerun_asks_for_nothing(delivered):
    delivery = delivered.sync_visit()
    assert unchanged_names(delivery) == [A, B]
    assert delivery.fetched == delivery.failed == ()
    assert delivered.files.requests == []


def test_only_what_is_new_is_fetched(delivered):
    delivered.add(THREE)
    delivery = delivered.sync_visit()
    assert delivered_names(delivery) == [C]
    assert unchanged_names(delivery) == [A, B]
    assert delivered.asked() == [C]


def test_a_wfpc2_pair_comes_together(archive):
    archive.add(PAIR, "wfpc2")
    delivery = archive.sync_visit("ueee05")
    assert delivered_names(delivery) == [C0M, C1M]
    assert archive.in_raw() == archive.as_served(C0M, C1M)
    assert left_in_staging(archive) == []


def test_a_file_that_is_gone_or_damaged_is_fetched_again(delivered):
    (delivered.workdir.raw / A).unlink()
    path = delivered.workdir.raw / B
    path.chmod(0o644)
    with path.open("r+b") as handle:
        handle.seek(10_000)
        handle.write(b"junk")
    delivery = delivered.sync_visit()
    assert sorted(delivered.asked()) == [A, B]
    assert delivered.in_raw() == delivered.as_served(A, B)
    assert len(delivery.notes) == 2
    assert "replaced by the archive's" in delivery.notes[0]


def test_one_file_of_a_pair_that_is_gone_comes_alone(archive):
    archive.add(PAIR, "wfpc2")
    archive.sync_visit("ueee05")
    archive.asked()
    for name in (C0M, C1M):
        (archive.workdir.raw / name).unlink()
        delivery = archive.sync_visit("ueee05")
        assert archive.asked() == [name]
        assert failures(delivery) == {}
        assert archive.in_raw() == archive.as_served(C0M, C1M)
        assert left_in_staging(archive) == []


@pytest.mark.parametrize("last", ["a", "s"])
def test_an_exposure_listed_under_two_rootnames_comes_once(delivered, last):
    delivered.add(f"{ONE[:8]}{last}", release=59001.0)
    delivered.sync_visit()
    assert delivered.asked() == [f"{ONE[:8]}{last}_flt.fits"]
    assert sorted(delivered.in_raw()) == [A, B]  # under the name it has
    delivered.sync_visit()
    assert delivered.asked() == []


# ------------------------------------------------------------------------------- re-releases


def test_a_rerelease_of_another_size_replaces_the_file(delivered):
    delivered.add(ONE, salt=1, side_pix=60)
    delivery = delivered.sync_visit()
    assert delivered_names(delivery) == [A]
    assert delivered.in_raw() == delivered.as_served(A, B)
    assert delivery.notes == (f"raw/{A} was an earlier version: replaced by the archive's",)
    assert delivered.asked() == [A]
    assert delivered.asked("HEAD") == []


def test_a_later_release_of_the_same_bytes_costs_a_head(delivered):
    delivered.change(A, release_mjd=59500.0)
    delivery = delivered.sync_visit()
    assert unchanged_names(delivery) == [A, B]
    assert (delivered.asked("HEAD"), delivered.asked()) == ([A], [])
    delivered.sync_visit()
    assert delivered.files.requests == []


def test_a_rerelease_of_the_same_size_is_noticed_when_its_release_moves(delivered):
    delivered.add(ONE, salt=1, release=59500.0)
    delivered.sync_visit()
    assert (delivered.asked("HEAD"), delivered.asked()) == ([A], [A])
    assert delivered.in_raw() == delivered.as_served(A, B)


def test_a_rerelease_that_only_the_etag_tells_is_noticed_in_time(delivered):
    delivered.add(ONE, salt=1)  # size and release as they were
    delivered.sync_visit()
    assert delivered.files.requests == []
    delivered.archive_settings["recheck_after_days"] = 0
    delivered.sync_visit()
    assert sorted(delivered.asked("HEAD")) == [A, B]
    assert delivered.asked() == [A]
    assert delivered.in_raw() == delivered.as_served(A, B)


def test_refetch_asks_for_all_and_transfers_what_changed(delivered):
    delivered.add(ONE, salt=1)
    delivery = delivered.sync_visit(refetch=True)
    assert delivered_names(delivery) == [A]
    assert unchanged_names(delivery) == [B]
    assert delivered.in_raw() == delivered.as_served(A, B)


def test_refetch_transfers_what_cannot_be_told_unchanged(stocked):
    stocked.files.always["*"] = "no_etag+no_modified"
    stocked.sync_visit()
    stocked.asked()
    delivery = stocked.sync_visit(refetch=True)
    assert sorted(stocked.asked()) == [A, B]
    assert failures(delivery) == {}
    assert stocked.in_raw() == stocked.as_served(A, B)


@pytest.mark.parametrize("fault", ["truncate", "wrong", "blank"])
def test_the_old_file_stays_while_the_new_one_is_no_good(delivered, fault):
    was = delivered.in_raw()
    delivered.add(ONE, salt=1, side_pix=60)
    if fault == "truncate":
        delivered.files.always[A] = "truncate"
    elif fault == "wrong":
        delivered.files.always[A] = "html_full"
    else:
        delivered.hold(A, blank(delivered.content(A)))
    delivery = delivered.sync_visit()
    assert failures(delivery) == {A: "TransientFailure" if fault == "truncate" else "UnusableInput"}
    assert delivered.in_raw() == was
    assert A in str(delivery.failed[0].failure)
    check_raw(delivered.workdir, full=True)


def test_a_pair_is_replaced_together_or_not_at_all(archive):
    archive.add(PAIR, "wfpc2")
    archive.sync_visit("ueee05")
    was = archive.in_raw()
    archive.add(PAIR, "wfpc2", side_pix=50)
    archive.files.always[C1M] = "503"
    delivery = archive.sync_visit("ueee05")
    assert failures(delivery) == {C0M: "TransientFailure", C1M: "TransientFailure"}
    assert f"companion {C1M}" in str(delivery.failed[1].failure)
    assert archive.in_raw() == was
    archive.asked()
    del archive.files.always[C1M]
    assert delivered_names(archive.sync_visit("ueee05")) == [C0M, C1M]
    assert archive.asked() == [C1M]  # its companion had come
    assert archive.in_raw() == archive.as_served(C0M, C1M)
    assert left_in_staging(archive) == []


# ------------------------------------------------------------------ refused, and remembered


def test_bytes_that_were_refused_are_not_fetched_every_night(stocked):
    stocked.hold(A, blank(stocked.content(A)))
    first = stocked.sync_visit()
    assert stocked.asked().count(A) == 1
    second = stocked.sync_visit()
    assert stocked.files.requests == []
    assert failures(first) == failures(second) == {A: "UnusableInput"}
    assert [each.remembered for each in (*first.failed, *second.failed)] == [False, True]
    assert "zero everywhere" in str(second.failed[0].failure)
    assert sorted(stocked.in_raw()) == [B]


@pytest.mark.parametrize("how", ["changed", "refetch", "in time"])
def test_what_was_refused_is_tried_again(stocked, how):
    good = stocked.content(A)
    stocked.hold(A, blank(good))
    if how == "in time":
        stocked.archive_settings["recheck_after_days"] = 0
    stocked.sync_visit()
    stocked.hold(A, good, release=59500.0 if how == "changed" else 59000.0)
    delivery = stocked.sync_visit(refetch=how == "refetch")
    assert failures(delivery) == {}
    assert stocked.in_raw() == stocked.as_served(A, B)
    assert read_fetch_history(stocked.workdir).refused == {}


def test_a_pair_with_a_refused_file_is_not_fetched_by_halves(archive):
    archive.add(PAIR, "wfpc2")
    archive.files.always[C1M] = "html_full"
    archive.sync_visit("ueee05")
    archive.asked()
    delivery = archive.sync_visit("ueee05")
    assert archive.files.requests == []
    assert failures(delivery) == {C0M: "UnusableInput", C1M: "UnusableInput"}
    assert archive.in_raw() == {}


@pytest.mark.parametrize("fault", ["503", "html"])
def test_passing_failures_and_refused_access_are_not_remembered(stocked, fault):
    stocked.files.always[A] = fault
    stocked.files.always[B] = "403"
    first = stocked.sync_visit()
    assert failures(first) == {A: "TransientFailure", B: "AccessRefused"}
    stocked.files.always.clear()
    assert delivered_names(stocked.sync_visit()) == [A, B]


# -------------------------------------------------------------------------- files by hand


def test_a_file_of_another_size_that_was_ingested_by_hand_is_kept_and_told(stocked):
    own = by_hand(stocked, ONE, salt=7, side_pix=50)
    delivery = stocked.sync_visit()
    assert unchanged_names(delivery) == [A]
    assert stocked.in_raw()[A] == own
    assert "ingested by hand" in delivery.notes[0]
    assert outstanding(stocked.workdir, stocked.listing()) == {}


def test_on_demand_the_archives_file_takes_the_place_of_one_by_hand(stocked):
    by_hand(stocked, ONE, salt=7)
    delivery = stocked.sync_visit(refetch=True)
    assert stocked.in_raw() == stocked.as_served(A, B)
    assert f"raw/{A} was ingested by hand: replaced by the archive's" in delivery.notes


def test_a_file_by_hand_with_the_archives_bytes_is_the_archives(stocked):
    by_hand(stocked, ONE)
    stocked.sync_visit(refetch=True)
    stocked.add(ONE, salt=1, side_pix=50)
    stocked.sync_visit()
    assert stocked.in_raw() == stocked.as_served(A, B)


def test_a_file_that_a_human_replaced_is_not_the_archives_any_more(delivered):
    other = SmallArchive(delivered.folder)
    other.add(ONE, salt=9)
    path = delivered.folder / A
    path.write_bytes(other.content(A))
    ingest([path], delivered.workdir, replace=True)
    delivered.add(ONE, salt=1, side_pix=50)
    delivery = delivered.sync_visit()
    assert delivered.in_raw()[A] == other.content(A)
    assert "ingested by hand" in delivery.notes[0]


def test_a_file_in_raw_that_nobody_verified_is_not_overwritten(stocked):
    stocked.workdir.create()
    (stocked.workdir.raw / A).write_bytes(b"notes of mine")
    delivery = stocked.sync_visit()
    assert failures(delivery) == {A: "UnusableInput"}
    assert "was not ingested" in str(delivery.failed[0].failure)
    assert (stocked.workdir.raw / A).read_bytes() == b"notes of mine"


@pytest.mark.parametrize("way", ["removed", "ingested", "replaced"])
def test_a_file_that_nobody_verified_has_the_ways_out_that_are_named(stocked, way):
    stocked.workdir.create()
    other = SmallArchive(stocked.folder)
    other.add(ONE, salt=7)
    path = stocked.workdir.raw / A
    path.write_bytes(other.content(A))
    (lost,) = stocked.sync_visit().failed
    assert "remove it, ingest it in place, or replace it with --clobber" in str(lost.failure)
    assert not lost.remembered
    stocked.asked()
    if way == "removed":
        path.unlink()
    elif way == "ingested":
        assert ingest([path], stocked.workdir).rejected == []
    delivery = stocked.sync_visit(refetch=way == "replaced")
    assert failures(delivery) == {}
    expected = other.content(A) if way == "ingested" else stocked.content(A)
    assert stocked.in_raw()[A] == expected
    assert way != "removed" or stocked.asked() == []  # what had come was kept
    stocked.sync_visit()
    assert left_in_staging(stocked) == []


def test_a_withdrawn_product_is_kept_and_told(delivered):
    del delivered.products[A]
    delivery = delivered.sync_visit()
    assert sorted(delivered.in_raw()) == [A, B]
    assert [note for note in delivery.notes if A in note and "kept" in note]
    assert unchanged_names(delivery) == [B]


# ---------------------------------------------------------------------------- what is asked


def test_a_visit_that_is_not_listed_is_told(stocked):
    with pytest.raises(NothingFound, match="jddd99"):
        stocked.sync_visit("jddd99")


def test_a_visit_that_is_only_in_raw_stays(stocked):
    by_hand(stocked, "jddd06ghq")
    delivery = stocked.sync_visit("jddd06")
    assert (delivery.fetched, delivery.failed) == ((), ())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rootname", "jddd05ghq"),
        ("rootname", "../../evi"),
        ("rootname", "jddd04/gq"),
        ("suffix", "../x"),
        ("suffix", "raw"),
        ("detector_key", "../hrc"),
        ("ra_deg", float("nan")),
    ],
)
def test_a_name_never_leads_outside(stocked, field, value):
    stocked.change(A, **{field: value})
    stocked.archive_settings["tree"] = str(stocked.folder / "tree")
    delivery = stocked.sync_visit()
    assert [type(each.failure) for each in delivery.failed] == [UnusableInput]
    assert stocked.asked() == [B]
    assert sorted(path.name for path in stocked.folder.iterdir()) == ["root", "tree"]


def test_the_position_is_that_of_the_first_delivery_and_stays(stocked):
    stocked.sync_visit()
    first = load_settings(stocked.workdir).target
    stocked.add("jddd05ghq")
    stocked.change("jddd05ghq_flt.fits", ra_deg=10.0)
    stocked.sync_visit("jddd05")
    assert (first.ra_deg, first.dec_deg) == (150.1, 2.2)
    assert load_settings(stocked.workdir).target == first


def test_exclusive_files_need_a_token(stocked):
    from hst_assets.archive.credentials import Token

    stocked.add(THREE, rights="EXCLUSIVE_ACCESS")
    delivery = stocked.sync_visit()
    assert failures(delivery) == {C: "AccessRefused"}
    assert C in str(delivery.failed[0].failure)
    assert delivered_names(stocked.sync_visit(token=Token("good"))) == [C]
    assert "good" not in stocked.workdir.origins.read_text()


# ------------------------------------------------------------------------- the last word


def test_outstanding_is_what_is_not_in_raw_as_listed(stocked):
    stocked.add("jddd05ghq")
    visits = outstanding(stocked.workdir, stocked.listing())
    names = {visit: [each.name for each in found] for visit, found in visits.items()}
    assert names == {"jddd04": [A, B], "jddd05": ["jddd05ghq_flt.fits"]}
    stocked.sync_visit()
    assert list(outstanding(stocked.workdir, stocked.listing())) == ["jddd05"]
    stocked.change(A, size=1)
    assert [each.name for each in outstanding(stocked.workdir, stocked.listing())["jddd04"]] == [A]


def test_the_sweep_leaves_out_what_was_refused(stocked):
    stocked.hold(A, blank(stocked.content(A)))
    stocked.sync_visit()
    listing = stocked.listing()
    assert [each.name for each in outstanding(stocked.workdir, listing)["jddd04"]] == [A]
    assert outstanding(stocked.workdir, listing, refused=False) == {}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("503", TransientFailure),
        ("404", NothingFound),
        ("403", AccessRefused),
        ("html_full", UnusableInput),
    ],
)
def test_each_file_has_the_failure_of_its_own_fault(stocked, fault, kind):
    stocked.files.always.update({A: "503", B: fault})
    failed = {each.product.name: each.failure for each in stocked.sync_visit().failed}
    assert {name: type(failure) for name, failure in failed.items()} == {
        A: TransientFailure,
        B: kind,
    }
    assert all(name in str(failure) for name, failure in failed.items())


def test_what_a_fetcher_reports_is_passed_on(stocked):
    def gone(products, folder, settings, **options):
        return [NotFetched(each, NothingFound("not there", where=each.name)) for each in products]

    delivery = stocked.sync_visit(fetcher=gone)
    assert failures(delivery) == {A: "NothingFound", B: "NothingFound"}
    assert read_fetch_history(stocked.workdir).refused == {}


def test_what_is_known_of_other_visits_is_kept(delivered):
    delivered.add("jddd05ghq")
    delivered.sync_visit("jddd05")
    with change_fetch_history(delivered.workdir) as origins:
        assert len(origins.files) == 3

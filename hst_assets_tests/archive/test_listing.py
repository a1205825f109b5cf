"""The listing on disk, and when it is asked for again."""

import dataclasses

import pytest
from astropy.time import Time

from hst_assets.archive.holdings import Excluded, Listing, Product
from hst_assets.archive.listing import (
    LEFT_OUT_COLUMNS,
    LISTING_COLUMNS,
    current_listing,
    read_listing,
    write_listing,
)
from hst_assets.failures import BadConfiguration, NothingFound, TransientFailure
from hst_assets.products.columns import read_table
from hst_assets.settings import load_settings, write_settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.stand_ins.archive_services import PLACE, WFPC2, ArchiveServices

RA, DEC = PLACE


@pytest.fixture
def workdir(tmp_path):
    made = WorkDir(tmp_path, "field").create()
    write_settings(made, {"target": {"ra_deg": RA, "dec_deg": DEC}, "archive": {"query": True}})
    return made


@pytest.fixture
def services():
    made = ArchiveServices()
    for index in range(3):
        made.add(f"J8BT06N{index}Q")
    made.add("U27X0A01T", suffixes=("c0m", "c1m"), **WFPC2)
    made.add("J8BT06N9Q", t_exptime=1.0)
    return made


def listed(workdir, services, **options):
    return current_listing(workdir, load_settings(workdir), services=services, **options)


def some_listing(**changes):
    product = Product(
        visit="j8bt06",
        rootname="j8bt06n0q",
        suffix="flc",
        uri="mast:HST/product/j8bt06n0q_flc.fits",
        size=168_000_000_001,
        data_rights="PUBLIC",
        release_mjd=53365.1 + 1e-9,
        detector_key="acs_wfc",
        filter="CLEAR1L;F606W",
        mjd_start=1 / 3 + 53000,
        exptime_s=0.1 + 0.2,
        proposal="10424",
        ra_deg=5.0 + 1e-13,
        dec_deg=-72.08,
    )
    other = dataclasses.replace(product, rootname="j8bt06n1q", size=None, filter="", proposal="")
    listing = Listing(
        question="0" * 64,
        asked_mjd=60000.123456789,
        products=(product, other),
        excluded=(
            Excluded("'../j8bt06n0q_flc.fits\\x00'", 'file name: not "exactly"; such, as this'),
            Excluded("j8bt06n9q", ""),
        ),
        discrepancies=("one: two", "- three # four"),
        cross_checked=True,
        notes=("'quoted'",),
    )
    return dataclasses.replace(listing, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"products": ()},
        {"excluded": ()},
        {"products": (), "excluded": (), "discrepancies": (), "notes": (), "cross_checked": False},
    ],
)
def test_round_trip_is_exact(workdir, changes):
    listing = some_listing(**changes)
    write_listing(workdir, listing)
    assert read_listing(workdir) == listing


def test_columns_are_those_of_the_registry_with_units_and_meanings(workdir):
    write_listing(workdir, some_listing())
    for path, specs in (
        (workdir.archive_listing, LISTING_COLUMNS),
        (workdir.archive_left_out, LEFT_OUT_COLUMNS),
    ):
        table = read_table(path)
        assert table.colnames == [spec.name for spec in specs]
        for spec in specs:
            assert table[spec.name].unit == spec.unit
            assert table[spec.name].info.description == spec.description


def test_every_field_of_a_product_has_a_column():
    names = {spec.name for spec in LISTING_COLUMNS}
    for field in dataclasses.fields(Product):
        assert {field.name, field.name.removesuffix("_s"), field.name.removesuffix("_deg")} & names


def test_no_listing_is_none(workdir):
    assert read_listing(workdir) is None


def test_a_listing_that_is_not_whole_is_none(workdir):
    write_listing(workdir, some_listing())
    whole = workdir.archive_listing.read_text()
    workdir.archive_listing.write_text(whole[: len(whole) // 2])
    assert read_listing(workdir) is None
    workdir.archive_listing.write_text(whole)
    assert read_listing(workdir) is not None
    workdir.archive_left_out.unlink()
    assert read_listing(workdir) is None


def test_a_listing_and_another_ones_exclusions_are_none(workdir):
    write_listing(workdir, some_listing())
    old = workdir.archive_left_out.read_text()
    write_listing(workdir, some_listing(excluded=()))
    workdir.archive_left_out.write_text(old)
    assert read_listing(workdir) is None


# ----------------------------------------------------------------------------- asked or not


def test_a_missing_listing_is_asked_for_and_written(workdir, services):
    listing = listed(workdir, services)
    assert len(listing.products) == 5
    assert read_listing(workdir) == listing


def test_a_young_listing_serves(workdir, services):
    first = listed(workdir, services)
    assert listed(workdir, services) == first
    assert services.count("observations") == 1


def test_refresh_asks_anew(workdir, services):
    listed(workdir, services)
    listed(workdir, services, refresh=True)
    assert services.count("observations") == 2


@pytest.mark.parametrize("age_s", [901.0, -3600.0])
def test_an_old_listing_and_one_of_the_future_are_asked_anew(workdir, services, age_s):
    first = listed(workdir, services)
    asked = float(Time.now().utc.mjd) - age_s / 86400
    write_listing(workdir, dataclasses.replace(first, asked_mjd=asked))
    listed(workdir, services)
    assert services.count("observations") == 2


def test_another_question_is_asked_anew(workdir, services):
    listed(workdir, services)
    write_settings(workdir, {"archive": {"max_exptime_s": 500.0}})
    listed(workdir, services)
    assert services.count("observations") == 2
    write_settings(workdir, {"archive": {"n_workers": 3}})
    listed(workdir, services)
    assert services.count("observations") == 2


def test_that_there_was_nothing_is_remembered_and_raised(workdir):
    services = ArchiveServices()
    services.add("J8BT06N9Q", t_exptime=1.0)
    texts = set()
    for _ in range(2):
        with pytest.raises(NothingFound) as caught:
            listed(workdir, services)
        texts.add(str(caught.value))
    assert services.count("observations") == 1
    assert len(texts) == 1
    assert "j8bt06n9q" in texts.pop()
    assert read_listing(workdir).products == ()


def test_an_outage_leaves_the_listing_as_it_was(workdir, services, monkeypatch):
    first = listed(workdir, services)

    def fail(criteria):
        raise TransientFailure("no answer")

    monkeypatch.setattr(services, "observations", fail)
    with pytest.raises(TransientFailure):
        listed(workdir, services, refresh=True)
    assert read_listing(workdir) == first


# ------------------------------------------------------------- a proposal without a position


@pytest.fixture
def of_proposal(tmp_path):
    made = WorkDir(tmp_path, "proposal").create()
    write_settings(made, {"archive": {"query": True, "proposals": ["10424"]}})
    return made


def test_a_proposal_gives_its_target_a_position(of_proposal, services):
    stale = load_settings(of_proposal)
    listing = current_listing(of_proposal, stale, services=services)
    target = load_settings(of_proposal).target
    assert (target.ra_deg, target.dec_deg) == pytest.approx(PLACE, abs=1e-6)
    asked = [criteria.position for kind, criteria in services.asked if kind == "observations"]
    assert asked == [None, (target.ra_deg, target.dec_deg)]
    # Settings that were read before serve on.
    assert current_listing(of_proposal, stale, services=services) == listing
    assert services.count("observations") == 2


def test_the_footprint_rule_holds_once_there_is_a_position(of_proposal, services):
    services.add("J8BT06NAQ", s_region="CIRCLE 150.05 2.0 0.01")
    listing = listed(of_proposal, services)
    assert "j8bt06naq" not in {product.rootname for product in listing.products}


def test_a_proposal_of_several_fields_asks_for_a_position(of_proposal, services):
    services.add("J8BT07NAQ", s_ra=10.0, s_dec=-30.0, s_region=None)
    with pytest.raises(BadConfiguration, match=r"10\.00000, -30\.00000"):
        listed(of_proposal, services)
    assert load_settings(of_proposal).target.ra_deg is None
    assert read_listing(of_proposal) is None

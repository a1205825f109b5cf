"""Which files are taken: each exposure's calibrated image, once, under a name that was checked."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.archive.observation_rules import Wanted, observation_from_caom
from hst_assets.archive.product_selection import choose_products, parse_name
from hst_assets.settings import Settings
from hst_assets_tests.stand_ins.archive_rows import product_row
from hst_assets_tests.stand_ins.archive_services import HRC, IR, UVIS, WFPC2, row_of

NOW = 60000.0
ROOT = "j8bt06n0q"


def wanted(**archive):
    return Wanted(
        Settings.model_validate({"target": {"ra_deg": 150, "dec_deg": 2}, "archive": archive}), NOW
    )


def files_of(row, *suffixes, names=(ROOT,), **fields):
    return [
        product_row(row, f"{name}_{suffix}.fits", suffix, **{"size": 1000, **fields})
        for name, suffix in itertools.product(names, suffixes)
    ]


def choose(rows, files, left_out=None, **archive):
    observations = [observation_from_caom(row) for row in rows]
    return choose_products(observations, files, wanted(**archive), left_out)


def names(choice):
    return [product.name for product in choice.products]


def reasons(choice):
    return {excluded.observation: excluded.reason for excluded in choice.excluded}


@pytest.mark.parametrize(
    ("instrument", "taken"),
    [
        ({}, ["flc"]),
        (UVIS, ["flc"]),
        (IR, ["flt"]),
        (HRC, ["flt"]),
        (WFPC2, ["c0m", "c1m"]),
    ],
    ids=str,
)
def test_each_detector_has_its_suffix(instrument, taken):
    row = row_of(**instrument)
    every = ("raw", "flt", "flc", "drz", "drc", "c0m", "c1m", "d0m", "spt", "jit", "asn")
    choice = choose([row], files_of(row, *every))
    assert names(choice) == [f"{ROOT}_{suffix}.fits" for suffix in taken]
    assert choice.excluded == ()


def test_a_product_says_what_the_observation_says():
    row = row_of(obsid=77)
    (product,) = choose([row], files_of(row, "flc", size=123)).products
    assert (product.visit, product.rootname, product.suffix) == ("j8bt06", ROOT, "flc")
    assert product.uri == f"mast:HST/product/{ROOT}_flc.fits"
    assert (product.size, product.data_rights, product.proposal) == (123, "PUBLIC", "10424")
    assert (product.mjd_start, product.release_mjd) == (53000.0, 53365.0)
    assert (product.exptime_s, product.detector_key) == (400.0, "acs_wfc")
    assert (product.ra_deg, product.dec_deg) == (150.0, 2.0)


def test_an_exposure_without_its_suffix_is_named():
    row = row_of(**UVIS)
    choice = choose([row], files_of(row, "raw", "flt"))
    assert choice.products == ()
    assert reasons(choice) == {ROOT: "product: there is no flc of it"}


def test_an_empty_product_list_is_told():
    assert reasons(choose([row_of()], [])) == {ROOT: "product: its product list has no flc"}


@pytest.mark.parametrize(("there", "missing"), [("c0m", "c1m"), ("c1m", "c0m")])
def test_half_a_pair_is_incomplete(there, missing):
    row = row_of(**WFPC2)
    choice = choose([row], files_of(row, there, "d0m"))
    assert choice.products == ()
    assert reasons(choice) == {ROOT: f"incomplete: has a {there} but no {missing}"}


BAD_NAMES = [
    f"../{ROOT}_flc.fits",
    f"/etc/{ROOT}_flc.fits",
    f"{ROOT}_flc.fits/..",
    f"{ROOT}_flc.fits\x00",
    f"{ROOT}_flc.fits\n",
    f"{ROOT.upper()}_flc.fits",
    f"{ROOT}_FLC.fits",
    f"{ROOT[:8]}_flc.fits",
    f"{ROOT}_flc.fits.gz",
    f"x{ROOT}_flc.fits",
    f"{ROOT}_flc.fits ",
    "j8bt06n0\N{FULLWIDTH LATIN SMALL LETTER Q}_flc.fits",
    "hst_10424_06_acs_wfc_f606w_j8bt06n0_flc.fits",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_no_other_name_is_taken(name):
    row = row_of()
    (bad,) = files_of(row, "flc")
    bad |= {"productFilename": name, "dataURI": f"mast:HST/product/{name}"}
    choice = choose([row], [bad])
    assert choice.products == ()
    assert reasons(choice)[ascii(name)[:80]].startswith(("file name: ", "high-level product: "))


@pytest.mark.parametrize(
    "uri",
    [
        f"mast:HST/product/../{ROOT}_flc.fits",
        "mast:HST/product/j8bt06n1q_flc.fits",
        f"mast:HLA/product/{ROOT}_flc.fits",
        f"http://elsewhere/{ROOT}_flc.fits",
        None,
    ],
)
def test_a_uri_of_another_file_is_not_taken(uri):
    row = row_of()
    (bad,) = files_of(row, "flc")
    choice = choose([row], [bad | {"dataURI": uri}])
    assert choice.products == ()
    assert "its URI is another" in reasons(choice)[f"'{ROOT}_flc.fits'"]


@given(st.text() | st.from_regex(r"\A[a-z0-9]{8,10}_(flc|c0m|raw)\.fits", fullmatch=False))
def test_a_name_that_is_believed_is_of_harmless_letters(name):
    if parsed := parse_name(name):
        assert name == "{}_{}.fits".format(*parsed)
        assert re.fullmatch("[a-z][a-z0-9]{8}_[a-z0-9]{3}[.]fits", name)


@given(st.none() | st.integers() | st.binary() | st.lists(st.text()))
def test_what_is_no_text_is_no_name(name):
    assert parse_name(name) is None


@pytest.mark.parametrize("size", [None, 0, -1, "", "many", float("nan"), float("inf"), True, [1]])
def test_a_size_that_cannot_be_is_not_said(size):
    row = row_of()
    (product,) = choose([row], files_of(row, "flc", size=size)).products
    assert product.size is None


def test_a_size_may_be_written_as_text():
    row = row_of()
    (product,) = choose([row], files_of(row, "flc", size="1234")).products
    assert product.size == 1234


def association(n_members=3, **fields):
    """An association with its files, each of 400 s."""
    members = [f"j8bt06n{index}q" for index in range(n_members)]
    row = row_of("J8BT06010", 5000, t_exptime=400.0 * n_members, calib_level=3, **fields)
    return row, files_of(row, "raw", "flc", names=members), members


def test_an_association_brings_its_members():
    row, files, members = association()
    choice = choose([row], files)
    assert [product.rootname for product in choice.products] == members
    assert {product.exptime_s for product in choice.products} == {400.0}
    assert {owner.obs_id for owner in choice.owners.values()} == {"j8bt06010"}


def test_an_exposure_that_comes_twice_is_taken_once_by_its_own_observation():
    row, files, members = association()
    own = row_of(members[0], 5001, t_min=53111.0)
    for order in (files + files_of(own, "flc"), files_of(own, "flc") + files):
        choice = choose([row, own], order)
        assert [product.rootname for product in choice.products] == members
        assert choice.products[0].mjd_start == 53111.0
        assert choice.products[0].exptime_s == 400.0
        assert choice.notes == ()


def test_of_two_associations_the_first_by_name_counts():
    first, files, _ = association(1)
    second = row_of("j8bt06020", 4000, t_min=53222.0)
    choice = choose([second, first], [*files_of(second, "flc"), *files])
    assert [product.mjd_start for product in choice.products] == [53000.0]


def test_products_of_a_member_carry_the_number_of_the_member():
    row, files, members = association()
    for number, file in enumerate(files):
        file["obsID"] = 9000 + number
    assert len(choose([row], files).products) == len(members)


def test_a_member_left_out_by_its_own_observation_does_not_come_back():
    row, files, members = association()
    choice = choose([row], files, {members[1]: "footprint: off"})
    assert [product.rootname for product in choice.products] == [members[0], members[2]]
    assert choice.excluded == ()


def test_exposures_of_an_association_are_judged_by_their_mean_time():
    row, files, members = association()
    assert len(choose([row], files, max_exptime_s=400).products) == len(members)
    choice = choose([row], files, max_exptime_s=399)
    assert choice.products == ()
    assert set(reasons(choice)) == set(members)


def test_two_sizes_of_one_name_are_told_and_the_larger_is_believed():
    row = row_of()
    files = files_of(row, "flc", size=1000) + files_of(row, "flc", size=2000)
    for order in (files, files[::-1]):
        choice = choose([row], order)
        assert [product.size for product in choice.products] == [2000]
        assert choice.notes == (
            f"{ROOT}_flc.fits is listed with 2 sizes, from 1000 to 2000 bytes; 2000 is used",
        )


def test_a_file_that_is_not_public_is_no_public_file():
    row = row_of()
    files = files_of(row, "flc", dataRights="EXCLUSIVE_ACCESS")
    assert reasons(choose([row], files))[ROOT].startswith("data rights: ")
    (product,) = choose([row], files, data_rights="all").products
    assert not product.is_public


def test_what_is_released_in_future_is_not_public_whatever_it_says():
    row = row_of(t_obs_release=NOW + 1)
    (product,) = choose([row], files_of(row, "flc"), data_rights="all").products
    assert product.data_rights == "EXCLUSIVE_ACCESS"
    assert product.release_mjd == NOW + 1


def test_without_a_release_the_end_of_the_observation_counts():
    row = row_of(t_obs_release=None)
    (product,) = choose([row], files_of(row, "flc")).products
    assert product.release_mjd == 53000.01


def test_files_of_strangers_are_counted():
    row, stranger = row_of(), row_of("j8bt06n9q", 4711)
    choice = choose([row], files_of(row, "flc") + files_of(stranger, "flc", names=["j8bt06n9q"]))
    assert names(choice) == [f"{ROOT}_flc.fits"]
    assert choice.notes == ("1 products belong to other observations",)


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "productFilename": st.none() | st.text() | st.integers(),
                "dataURI": st.none() | st.text(),
                "size": st.none() | st.floats() | st.integers() | st.text(),
                "parent_obsid": st.none() | st.integers() | st.just(1001),
                "obsID": st.just("1001") | st.text(),
                "dataRights": st.none() | st.integers() | st.text(),
            },
        ),
        max_size=5,
    )
)
def test_any_rows_are_sorted(rows):
    row = row_of()
    (good,) = files_of(row, "flc")
    choice = choose([row], [good, *[good | bad for bad in rows]])
    assert set(names(choice)) <= {f"{ROOT}_flc.fits"}

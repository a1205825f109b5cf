"""The stand-in for MAST, as astroquery and plain requests see it."""

import json
import time
from pathlib import Path

import astropy.units as u
import pytest
import requests
from astropy.utils.data import conf as data_conf
from requests.exceptions import ChunkedEncodingError, HTTPError, ReadTimeout

from hst_assets_tests.stand_ins.mast import Mast

FLC = "jaaa01acq_flc.fits"
ALL_OF_HST = {"jaaa01010", "jaaa01acq", "ibbb02aaq", "ibbb02abq", "uccc03aaq"}


def ask(mast, service="Mast.Caom.Filtered", timeout=10, **params):
    """The portal's reply, without a client's help."""
    request = {"service": service, "params": {"columns": "*", "filters": [], **params}}
    return requests.post(
        f"{mast.url}/api/v0/invoke", data={"request": json.dumps(request)}, timeout=timeout
    )


# --------------------------------------------------------------------------- with astroquery


def test_a_search_by_position_finds_what_lies_there(observations, centre):
    found = observations.query_region(centre, radius=1 * u.arcmin)
    assert set(found["obs_id"]) >= ALL_OF_HST
    assert "GALEX" in set(found["obs_collection"])
    assert "jaaa01aaq" not in set(found["obs_id"])


def test_distance_is_that_to_the_footprint(observations, centre):
    # ACS/WFC's field is 202 arcsec wide, WFC3/IR's 130.
    offset = centre.directional_offset_by(90 * u.deg, 80 * u.arcsec)
    found = observations.query_region(offset, radius=1 * u.arcmin)
    distance = dict(zip(found["obs_id"], found["distance"], strict=True))
    assert distance["jaaa01acq"] == 0
    assert 5 < distance["ibbb02aaq"] < 25


def test_nothing_is_found_far_away(observations, centre):
    far = centre.directional_offset_by(0 * u.deg, 2 * u.deg)
    with pytest.warns(match="returned no results"):
        assert len(observations.query_region(far, radius=5 * u.arcmin)) == 0


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({"project": "HST", "instrument_name": "WFC3/IR", "filters": "F160W"}, {"ibbb02aaq"}),
        ({"project": "HST", "filters": ["F606W", "F555W"]}, {"jaaa01acq", "uccc03aaq"}),
        ({"project": "HST", "t_min": [51000, 53000]}, {"uccc03aaq"}),
        ({"project": "HST", "proposal_id": ["13000"]}, {"ibbb02abq"}),
        ({"obs_id": "ibbb02*"}, {"ibbb02aaq", "ibbb02abq"}),
        ({"calib_level": [3], "project": "HST"}, {"jaaa01010"}),
        ({"project": "HAP", "calib_level": 2}, {"hst_13000_02_wfc3_ir_f160w_ibbb02aa"}),
        ({"obs_collection": "HLA"}, {"hst_12345_01_acs_wfc_f606w"}),
    ],
)
def test_criteria_are_obeyed(observations, centre, holdings, criteria, expected):
    found = observations.query_criteria(coordinates=centre, radius=1 * u.arcmin, **criteria)
    assert set(found["obs_id"]) >= expected
    assert len(found) < len(holdings.observations())
    assert observations.query_criteria_count(
        coordinates=centre, radius=1 * u.arcmin, **criteria
    ) == len(found)


def test_criteria_without_a_position(observations):
    found = observations.query_criteria(proposal_id="13000", project="HST")
    assert set(found["obs_id"]) == {"ibbb02aaq", "ibbb02abq"}


def test_pages_are_put_together(observations, mast):
    found = observations.query_criteria(obs_collection="HST", project="HST", pagesize=2)
    whole = observations.query_criteria(obs_collection="HST", project="HST")
    assert list(found["obs_id"]) == list(whole["obs_id"])
    # The second search needed one request.
    assert mast.count("caom.filtered") == -(-len(whole) // 2) + 1


def test_products_of_several_observations_in_one_request(observations, mast):
    found = observations.query_criteria(proposal_id="13000", project="HST")
    products = observations.get_product_list(found)
    assert mast.count("caom.products") == 1
    names = [n for n in products["productFilename"] if n.endswith("_flt.fits")]
    assert [n for n in names if not n.startswith("hst_")] == [
        "ibbb02aaq_flt.fits",
        "ibbb02abq_flt.fits",
    ]


def test_an_associations_products_hold_its_members(observations):
    found = observations.query_criteria(obs_id="jaaa01010")
    products = observations.get_product_list(found)
    assert {"jaaa01aaq_flc.fits", "jaaa01abq_flc.fits", "jaaa01010_asn.fits"} <= set(
        products["productFilename"]
    )
    assert set(products["parent_obsid"]) == {found["obsid"][0]}


def test_product_lists_hold_the_noise_of_real_ones(observations):
    found = observations.query_criteria(obs_id="jaaa01acq")
    names = set(observations.get_product_list(found)["productFilename"])
    assert {FLC, "jaaa01acq_flt.fits", "jaaa01acq_raw.fits", "jaaa01acq_spt.fits"} <= names
    assert "hst_12345_01_acs_wfc_f606w_jaaa01ac_flc.fits" in names


def test_astroquery_downloads_from_it(observations, holdings, mast, tmp_path):
    portal = observations._portal_api_connection
    portal.MAST_DOWNLOAD_URL = f"{mast.url}/api/v0.1/Download/file"
    found = observations.query_criteria(obs_id="jaaa01acq")
    products = observations.get_product_list(found)
    wanted = products[products["productFilename"] == FLC]
    with data_conf.set_temp("remote_timeout", 10):
        manifest = observations.download_products(wanted, download_dir=str(tmp_path))
    assert list(manifest["Status"]) == ["COMPLETE"]
    fetched = Path(manifest["Local Path"][0]).read_bytes()
    assert fetched == holdings.files.files[FLC].content


def test_the_missions_search(mast_missions, centre):
    found = mast_missions.query_region(centre, radius=1 * u.arcmin)
    assert {name.upper() for name in ALL_OF_HST} <= set(found["sci_data_set_name"])
    assert not any(name.startswith("HST_") for name in found["sci_data_set_name"])


def test_criteria_of_the_missions_search(mast_missions, centre):
    found = mast_missions.query_criteria(
        coordinates=centre,
        radius=2,
        sci_instrume=["ACS", "WFC3"],
        sci_aec="S",
        sci_obs_type="IMAGE",
        sci_pep_id="13000",
        select_cols=["sci_instrument_config", "sci_start_time"],
    )
    assert set(found["sci_data_set_name"]) == {"IBBB02AAQ", "IBBB02ABQ"}
    assert set(found["sci_instrument_config"]) == {"WFC3/IR"}


def test_pages_of_the_missions_search(mast_missions):
    ask_for = {"sci_instrume": ["ACS", "WFC3", "WFPC2"], "sci_aec": "S"}
    whole = list(mast_missions.query_criteria(**ask_for)["sci_data_set_name"])
    with pytest.warns(match="Maximum results"):
        first = mast_missions.query_criteria(limit=2, **ask_for)
    rest = mast_missions.query_criteria(limit=100, offset=2, **ask_for)
    assert [*first["sci_data_set_name"], *rest["sci_data_set_name"]] == whole


def test_an_unknown_column_of_the_missions_search_is_refused(mast):
    asked = {"conditions": [{"sci_nonsense": "1"}]}
    url = f"{mast.url}/search/hst/api/v0.1/search"
    assert requests.post(url, json=asked, timeout=10).status_code == 400


def test_products_of_the_missions_search(mast_missions):
    found = mast_missions.get_product_list(["JAAA01010", "IBBB02AAQ"])
    assert {"jaaa01aaq_flc.fits", "ibbb02aaq_flt.fits"} <= set(found["filename"])


# --------------------------------------------------------------------------------- the rest


@pytest.mark.parametrize(
    "address",
    [
        f"api/v0.1/Download/file?uri=mast:HST/product/{FLC}",
        f"search/hst/api/v0.1/retrieve_product?product_name=JAAA01ACQ%2F{FLC}",
        f"hst/public/jaaa/jaaa01acq/{FLC}",
        f"stpubdata/hst/public/jaaa/jaaa01acq/{FLC}",
    ],
)
def test_a_file_by_each_address(mast, holdings, address):
    reply = requests.get(f"{mast.url}/{address}", timeout=10)
    assert reply.content == holdings.files.files[FLC].content


def test_files_that_are_only_listed_are_not_there(mast):
    address = f"{mast.url}/api/v0.1/Download/file?uri=mast:HST/product/jaaa01acq_raw.fits"
    assert requests.get(address, timeout=10).status_code == 404


def test_exclusive_files_want_a_token(holdings, mast):
    holdings.change("jaaa01acq", dataRights="EXCLUSIVE_ACCESS")
    address = f"{mast.url}/api/v0.1/Download/file?uri=mast:HST/product/{FLC}"

    def status(**headers):
        return requests.get(address, headers=headers, timeout=10).status_code

    assert [status(), status(Authorization="token good"), status(Authorization="token x")] == [
        401,
        200,
        403,
    ]
    assert mast.asked("download.portal")[1].headers["authorization"] == "token good"
    holdings.release("jaaa01acq")
    assert status() == 200


def test_paths_of_the_bucket(mast):
    uris = [f"mast:HST/product/{FLC}", "mast:HST/product/nothing_flc.fits"]
    reply = requests.get(f"{mast.url}/api/v0.1/path_lookup/", params={"uri": uris}, timeout=10)
    assert reply.json() == {
        uris[0]: {"status_code": 200, "path": f"/hst/public/jaaa/jaaa01acq/{FLC}"},
        uris[1]: {"status_code": 404, "path": None},
    }


def test_who_one_is(mast):
    def anonymous(**headers):
        return requests.get(f"{mast.url}/whoami", headers=headers, timeout=10).json()["anon"]

    assert [anonymous(), anonymous(Authorization="token good")] == [True, False]


def test_sesame_is_what_astropy_understands(mast):
    from astropy.coordinates import SkyCoord
    from astropy.coordinates.name_resolve import NameResolveError, sesame_url

    mast.names["SN 2031a"] = (150.1, -2.2)
    with sesame_url.set([mast.sesame_url]):
        found = SkyCoord.from_name("SN 2031a")
        with pytest.raises(NameResolveError):
            SkyCoord.from_name("Nobody 1")
    assert (found.ra.deg, found.dec.deg) == pytest.approx((150.1, -2.2), abs=1e-7)
    assert mast.count("sesame") == 2


def test_santa_knows_the_same_names(mast):
    mast.names["SN 2031a"] = (150.1, -2.2)
    asked = {"name": ["sn 2031A", "nobody"], "outputFormat": "json"}
    reply = requests.get(f"{mast.url}/Santa-war/query", params=asked, timeout=10).json()
    (found,) = reply["resolvedCoordinate"]
    assert (found["searchString"], found["ra"], found["decl"]) == ("sn 2031a", 150.1, -2.2)


def test_a_proxys_request_is_answered(mast):
    mast.names["M1"] = (83.6, 22.0)
    reply = requests.get(
        "http://mastresolver.stsci.edu/Santa-war/query?name=M1",
        proxies={"http": mast.url},
        timeout=10,
    )
    assert reply.json()["resolvedCoordinate"][0]["ra"] == 83.6


def test_the_astrometric_catalogue(mast):
    mast.stars += [{"objID": 1, "ra": 150.1, "dec": 2.2}, {"objID": 2, "ra": 151.1, "dec": 2.2}]
    asked = {"RA": 150.1, "DEC": 2.2, "SR": 0.1, "FORMAT": "CSV", "CAT": "GAIAedr3"}
    text = requests.get(f"{mast.url}/webservices/vo/CatalogSearch.aspx", asked, timeout=10).text
    count, columns, star = text.split("\r\n")[:3]
    assert count.endswith("1")
    assert columns.startswith("objID,GaiaID,ra,dec")
    assert star.startswith("1,,150.1,2.2,")


def test_what_it_does_not_know_is_not_found(mast):
    assert requests.get(f"{mast.url}/nonsense", timeout=10).status_code == 404
    assert ask(mast, "Mast.Nonsense").json()["status"] == "ERROR"


# ----------------------------------------------------------------------------------- faults


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_status_strikes_as_often_as_told(mast, status):
    mast.inject("caom.*", f"{status}:7", times=2)
    replies = [ask(mast) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [status, status, 200]
    assert replies[0].headers["Retry-After"] == "7"


def test_a_fault_keeps_to_its_route_and_text(mast):
    mast.inject("caom.filtered", "503", containing="13000", times=None)
    condition = {"paramName": "proposal_id", "values": ["13000"]}
    assert ask(mast).status_code == 200
    assert ask(mast, filters=[condition]).status_code == 503
    assert ask(mast, "Mast.Caom.Products", obsid="1").status_code == 200


def test_a_reply_that_is_a_page(mast):
    mast.inject("caom.*", "html")
    reply = ask(mast)
    assert reply.status_code == 200
    assert reply.text.startswith("<html>")


def test_a_reply_that_ends_too_early(mast):
    mast.inject("caom.*", "cut")
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        ask(mast).json()


@pytest.mark.parametrize("word", ["reset:100", "truncate:100"])
def test_a_transfer_that_breaks(mast, word):
    mast.inject("caom.*", word)
    with pytest.raises(ChunkedEncodingError):
        ask(mast)


@pytest.mark.parametrize("word", ["silence", "stall:100"])
def test_a_service_that_stalls(mast, word):
    mast.inject("caom.*", word)
    with pytest.raises((ReadTimeout, requests.ConnectionError), match="timed out"):
        ask(mast, timeout=0.3)


def test_a_slow_drip(mast):
    mast.inject("whoami", "drip:200")
    start = time.monotonic()
    reply = requests.get(f"{mast.url}/whoami", timeout=10)
    # A byte each 5 ms.
    assert time.monotonic() - start > 0.005 * len(reply.content)


def test_a_search_that_is_not_done(observations, mast):
    mast.inject("caom.*", "executing", times=3)
    assert len(observations.query_criteria(obs_id="jaaa01acq")) == 1
    assert mast.count("caom.filtered") == 4


def test_a_search_that_fails(observations, mast):
    from astroquery.exceptions import RemoteServiceError

    mast.inject("caom.*", "error:no such luck")
    with pytest.raises(RemoteServiceError, match="no such luck"):
        observations.query_criteria(obs_id="jaaa01acq")


def test_a_reply_without_rows(observations, mast):
    mast.inject("caom.*", "empty")
    with pytest.warns(match="no results"):
        assert len(observations.query_criteria(obs_id="jaaa01acq")) == 0


def test_downloads_are_struck_before_their_first_byte(mast, holdings):
    mast.inject("download.portal", "503", times=1)
    mast.inject("download.portal", "html", times=1)
    address = f"{mast.url}/api/v0.1/Download/file?uri=mast:HST/product/{FLC}"
    replies = [requests.get(address, timeout=10) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [503, 200, 200]
    assert replies[1].text.startswith("<html>")
    assert replies[2].content == holdings.files.files[FLC].content


def test_faults_of_files_are_at_hand(mast):
    mast.files.faults[FLC] = ["truncate:1000"]
    with pytest.raises(ChunkedEncodingError):
        requests.get(mast.files.mast_url(FLC), timeout=10)


def test_an_outage_begins_in_the_middle(mast):
    mast.outage_after(2)
    assert [ask(mast).status_code for _ in range(2)] == [200, 200]
    for _ in range(2):
        with pytest.raises(requests.ConnectionError):
            ask(mast)
    mast.heal()
    assert ask(mast).status_code == 200


def test_out_of_service_the_port_is_closed_and_open_again_after(mast):
    with requests.Session() as session:
        session.get(f"{mast.url}/whoami", timeout=10)
        with mast.down(), pytest.raises(requests.ConnectionError):
            session.get(f"{mast.url}/whoami", timeout=10)
        assert session.get(f"{mast.url}/whoami", timeout=10).status_code == 200


def test_a_word_that_is_no_fault_is_refused(mast):
    with pytest.raises(ValueError, match="no fault"):
        mast.inject("*", "earthquake")


def test_latency_is_added_to_every_request(holdings):
    with Mast(holdings, latency_s=0.1) as mast:
        start = time.monotonic()
        ask(mast)
        requests.get(mast.files.mast_url(FLC), timeout=10)
    assert time.monotonic() - start > 0.2


def test_requests_are_counted_by_route(mast):
    ask(mast)
    ask(mast, "Mast.Caom.Products", obsid="1")
    with pytest.raises(HTTPError):
        requests.get(f"{mast.url}/nonsense", timeout=10).raise_for_status()
    assert [mast.count(r) for r in ("caom.filtered", "caom.*", "unknown", "*")] == [1, 2, 1, 3]

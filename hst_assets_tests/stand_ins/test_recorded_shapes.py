"""The stand-in's replies have the names and types of recorded ones."""

import json
from pathlib import Path

import pytest
import requests

from hst_assets_tests.stand_ins import missions
from hst_assets_tests.stand_ins.archive_rows import columns_config
from hst_assets_tests.stand_ins.conftest import DEC, RA

#: Never filled by us: the client's own mark of a chosen row.
UNUSED = {"_selected_"}


@pytest.fixture(scope="module")
def recorded():
    """A recorded reply by its file's name."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "real" / "mast_json"
    if not folder.is_dir():
        pytest.skip(f"no recorded replies at {folder}")
    return lambda name: json.loads((folder / f"{name}.json").read_text())


@pytest.fixture
def portal(mast):
    """The portal's reply to a request."""

    def ask(service, **params):
        request = json.dumps({"service": service, "params": params, "format": "json"})
        url = f"{mast.url}/api/v0/invoke"
        return requests.post(url, data={"request": request}, timeout=10).json()

    return ask


def kinds_of(rows):
    """The types of each field's values but null; whole numbers are numbers."""
    kinds = {}
    for row in rows:
        for name, value in row.items():
            kinds.setdefault(name, set()).add(_kind(value))
    return {name: found - {"null"} for name, found in kinds.items()}


def _kind(value):
    if value is None:
        return "null"
    if isinstance(value, (bool, str)):
        return type(value).__name__
    return "number"


def assert_same_kinds(ours, theirs, names):
    for name in names:
        if ours[name] and theirs[name]:
            assert ours[name] == theirs[name], name


def assert_like(ours, theirs):
    """A reply of the portal holds the fields of a recorded one, of the same types."""
    assert set(ours) == set(theirs)
    assert set(ours["paging"]) == set(theirs["paging"])
    declared = {field["name"]: field["type"] for field in ours["fields"]}
    expected = {f["name"]: f["type"] for f in theirs["fields"] if f["name"] not in UNUSED}
    assert {name: declared.get(name) for name in expected} == expected
    assert ours["data"]
    kinds, recorded_kinds = kinds_of(ours["data"]), kinds_of(theirs["data"])
    assert set(kinds) == set(declared)
    assert_same_kinds(kinds, recorded_kinds, expected)


def test_a_search_by_position(portal, recorded):
    reply = portal("Mast.Caom.Cone", ra=RA, dec=DEC, radius=0.1)
    assert_like(reply, recorded("caom"))


def test_a_search_by_position_and_criteria(portal, recorded):
    position = f"{RA}, {DEC}, 0.1"
    reply = portal("Mast.Caom.Filtered.Position", columns="*", filters=[], position=position)
    assert_like(reply, recorded("advSearchPos"))


def test_a_search_by_criteria(portal, recorded):
    assert_like(portal("Mast.Caom.Filtered", columns="*", filters=[]), recorded("advSearch"))


def test_a_list_of_products(portal, holdings, recorded):
    obsid = holdings.observations()[0].row["obsid"]
    assert_like(portal("Mast.Caom.Products", obsid=str(obsid)), recorded("products"))


def test_the_configuration_of_columns(recorded):
    theirs = recorded("columnsconfig")

    def said(column):
        return column.get("vot.datatype") or column.get("type"), column.get("separator")

    for name, column in columns_config().items():
        expected, separator = said(theirs[name])
        # "string" and "char" are the same to clients: values are listed, not ranges.
        assert said(column) == ("char" if expected in ("string", None) else expected, separator), (
            name
        )


def test_the_columns_of_the_missions_search(recorded):
    theirs = {column["column_name"]: column for column in recorded("mission_columns")}
    for column in missions.column_list():
        expected = theirs[column["column_name"]]
        assert set(column) == set(expected)
        for key in ("qual_type", "datatype"):
            assert column[key] == expected[key], column["column_name"]


def test_the_missions_search(mast, recorded):
    theirs = recorded("mission_results")
    asked = {"target": [f"{RA} {DEC}"], "radius": 3, "radius_units": "arcminutes"}
    url = f"{mast.url}/search/hst/api/v0.1/search"
    ours = requests.post(url, json=asked, timeout=10).json()
    assert set(ours) == set(theirs)
    assert {i["name"]: i["type"] for i in ours["info"]} == {
        i["name"]: i["type"] for i in theirs["info"]
    }
    kinds, expected = kinds_of(ours["results"]), kinds_of(theirs["results"])
    assert set(kinds) == set(expected)
    assert_same_kinds(kinds, expected, expected)
    assert len(ours["results"][0]["sci_start_time"]) == len("1993-09-24T21:00:16.633000")


def test_products_of_the_missions_search(mast, recorded):
    url = f"{mast.url}/search/hst/api/v0.1/post_list_products"
    ours = requests.post(url, json={"dataset_ids": ["JAAA01010"]}, timeout=10).json()
    theirs = recorded("mission_products")
    assert set(ours) == set(theirs)
    kinds, expected = kinds_of(ours["products"]), kinds_of(theirs["products"])
    assert kinds == expected


def test_the_name_resolver(mast, recorded):
    mast.names["M1"] = (83.6, 22.0)
    (ours,) = requests.get(f"{mast.url}/Santa-war/query?name=M1", timeout=10).json()[
        "resolvedCoordinate"
    ]
    expected = kinds_of(recorded("resolver")["resolvedCoordinate"])
    assert_same_kinds(kinds_of([ours]), expected, ours)

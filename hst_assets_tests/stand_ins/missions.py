"""MAST's Missions search (``/search/hst/…``): datasets of HST by criteria, and their files."""

from __future__ import annotations

import json
import re

from astropy.time import Time

from hst_assets_tests.stand_ins.caom import separation_deg

#: Columns of a dataset: type in a search's reply, and qualification in the list of columns.
COLUMNS = {
    "search_pos": ("VARCHAR", "string", "char"),
    "sci_data_set_name": ("VARCHAR", "string", "char"),
    "sci_targname": ("VARCHAR", "string", "char"),
    "sci_hapnum": ("INTEGER", "boolean", "long"),
    "sci_instrume": ("VARCHAR", "string", "char"),
    "sci_aper_1234": ("VARCHAR", "string", "char"),
    "sci_spec_1234": ("VARCHAR", "string", "char"),
    "sci_actual_duration": ("FLOAT", "float", "float"),
    "sci_start_time": ("DATETIME", "datetime", "char"),
    "sci_stop_time": ("DATETIME", "datetime", "char"),
    "sci_pep_id": ("INTEGER", "integer", "long"),
    "sci_ra": ("FLOAT", "ra", "double"),
    "sci_dec": ("FLOAT", "dec", "double"),
    "sci_asn_id": ("VARCHAR", "string", "char"),
    "sci_refnum": ("INTEGER", "integer", "long"),
    "sci_expflag": ("VARCHAR", "string", "char"),
    "sci_instrument_config": ("VARCHAR", "string", "char"),
    "sci_central_wavelength": ("FLOAT", "float", "float"),
    "sci_mtflag": ("VARCHAR", "string", "char"),
    "sci_release_date": ("DATETIME", "datetime", "char"),
    "sci_aec": ("VARCHAR", "string", "char"),
    "sci_preview_name": ("VARCHAR", "string", "char"),
    "sci_obs_type": ("VARCHAR", "string", "char"),
    "scp_scan_type": ("VARCHAR", "string", "char"),
    "sci_hlsp": ("INTEGER", "integer", "long"),
    "sci_status": ("VARCHAR", "string", "char"),
    "ang_sep": ("FLOAT", "float", "float"),
    "search_key": ("VARCHAR", "string", "char"),
}
#: What is given where a search selects no columns.
DEFAULT_COLUMNS = (
    "sci_data_set_name",
    "sci_targname",
    "sci_ra",
    "sci_dec",
    "sci_refnum",
    "sci_start_time",
    "sci_stop_time",
    "sci_actual_duration",
    "sci_instrume",
    "sci_aper_1234",
    "sci_spec_1234",
    "sci_central_wavelength",
    "sci_pep_id",
    "sci_release_date",
    "sci_preview_name",
    "scp_scan_type",
    "sci_hlsp",
    "sci_status",
)
_ARCMIN = {"arcseconds": 1 / 60, "arcminutes": 1.0, "degrees": 60.0}
_CATEGORIES = {"RAW": "UNCALIBRATED", "D0M": "UNCALIBRATED", "SPT": "AUX", "TRL": "AUX"}
_SEARCHED = ("search_pos", "ang_sep")


def column_list():
    """The description of the columns."""
    return [
        {
            "field_name": name,
            "description": name.replace("_", " "),
            "column_name": name,
            "queryable": "no" if name == "search_pos" else "yes",
            "qual_type": qualification,
            "default_output": "yes" if name in DEFAULT_COLUMNS else "no",
            "indexed": "no",
            "datatype": datatype,
        }
        for name, (_, qualification, datatype) in COLUMNS.items()
    ]


def search(holdings, body):
    """The reply to a search, or None where it asks for what does not exist (HTTP 400)."""
    asked = json.loads(body)
    conditions = [pair for each in asked.get("conditions") or [] for pair in each.items()]
    columns = [name for name in asked.get("select_cols") or DEFAULT_COLUMNS if name]
    columns = list(dict.fromkeys(columns))
    if not {*columns, *(name for name, _ in conditions)} <= set(COLUMNS):
        return None
    rows = _rows(holdings, asked)
    for name, condition in conditions:
        rows = [row for row in rows if matches(row[name], condition)]
    rows.sort(key=lambda row: (row.get("ang_sep") or 0, row["sci_data_set_name"]))
    offset, limit = int(asked.get("offset") or 0), int(asked.get("limit") or 5000)
    given = [*columns, "search_key", *(_SEARCHED if asked.get("target") else ())]
    return {
        "messages": [],
        "info": [{"name": n, "type": COLUMNS[n][0]} for n in given if n not in _SEARCHED],
        "search_params": asked,
        "totalResults": len(rows),
        "results": [
            {name: row.get(name) for name in given} for row in rows[offset : offset + limit]
        ],
    }


def products(holdings, body):
    """The files of some datasets."""
    wanted = {name.upper() for name in json.loads(body)["dataset_ids"]}
    found = []
    for observation in _datasets(holdings):
        dataset = observation.obs_id.upper()
        if dataset in wanted:
            listed = holdings.products_of({str(observation.row["obsid"])})
            found += [_product(dataset, observation.row, product) for product in listed]
    return {"products": found}


def _datasets(holdings):
    return [each for each in holdings.observations() if each.is_of_missions]


def _rows(holdings, asked):
    rows = [_row(observation) for observation in _datasets(holdings)]
    if not asked.get("target"):
        return rows
    found = []
    radius = float(asked.get("radius") or 3) * _ARCMIN[asked.get("radius_units", "arcminutes")]
    for place in asked["target"]:
        ra, dec = map(float, place.split())
        for row in rows:
            apart = separation_deg(ra, dec, row["sci_ra"], row["sci_dec"]) * 60
            if apart <= radius:
                key = place + row["sci_data_set_name"]
                place_of = {"search_pos": place, "search_key": key, "ang_sep": apart}
                found.append({**row, **place_of})
    return found


def _row(observation):
    row = observation.row
    instrument, _, detector = row["instrument_name"].partition("/")
    name = observation.obs_id.upper()
    return {
        **dict.fromkeys(COLUMNS),
        "sci_data_set_name": name,
        "sci_targname": row["target_name"],
        "sci_hapnum": 1,
        "sci_instrume": instrument.ljust(6),
        "sci_aper_1234": detector or "WFALL",
        "sci_spec_1234": row["filters"],
        "sci_actual_duration": row["t_exptime"],
        "sci_start_time": _moment(row["t_min"]),
        "sci_stop_time": _moment(row["t_max"]),
        "sci_pep_id": int(row["proposal_id"]),
        "sci_ra": row["s_ra"],
        "sci_dec": row["s_dec"],
        "sci_asn_id": name if observation.members else "NONE",
        "sci_refnum": 0,
        "sci_expflag": "NORMAL",
        "sci_instrument_config": row["instrument_name"],
        "sci_central_wavelength": 10 * (row["em_min"] + row["em_max"]) / 2,
        "sci_mtflag": "T" if row["mtFlag"] else "F",
        "sci_release_date": _moment(row["t_obs_release"])[:19],
        "sci_aec": "C" if row["intentType"] == "calibration" else "S",
        "sci_preview_name": name,
        "sci_obs_type": "IMAGE" if row["dataproduct_type"] == "image" else "SPECTRUM",
        "sci_status": "PUBLIC" if row["dataRights"] == "PUBLIC" else "PROPRIETARY",
        "search_key": name,
    }


def _moment(mjd):
    return Time(mjd, format="mjd").isot + "000"


def _product(dataset, row, product):
    filename = product["productFilename"]
    suffix = product["productSubGroupDescription"] or "JPG"
    return {
        "product_key": f"{dataset}_{filename}",
        "access": "PUBLIC" if product["dataRights"] == "PUBLIC" else "PROPRIETARY",
        "dataset": dataset,
        "instrument_name": row["instrument_name"].partition("/")[0].ljust(6),
        "filters": row["filters"],
        "filename": filename,
        "uri": f"{dataset}/{filename}",
        "authz_primary_identifier": dataset,
        "authz_secondary_identifier": "CAL",
        "file_suffix": suffix,
        "category": _CATEGORIES.get(suffix, "CALIBRATED"),
        "size": product["size"],
        "type": "science",
    }


def matches(value, condition):
    """Whether a value is what a condition says: a list, with wildcards, ranges and bounds.

    ``a,b`` either; ``a*`` wildcard; ``1..5`` range; ``<5``, ``>5`` bounds; ``!a`` anything else.
    """
    if condition in ("", None):
        return True
    wanted = [part.strip() for part in str(condition).split(",")]
    refused = [part[1:] for part in wanted if part.startswith("!")]
    taken = [part for part in wanted if not part.startswith("!")]
    if any(_matches_one(value, part) for part in refused):
        return False
    return not taken or any(_matches_one(value, part) for part in taken)


def _matches_one(value, part):
    if value is None:
        return False
    kind = type(value) if isinstance(value, (int, float)) else str
    if ".." in part:
        low, high = map(kind, part.split(".."))
        return low <= value <= high
    if part[:1] in ("<", ">"):
        bound = kind(part.lstrip("<>="))
        return value <= bound if part[0] == "<" else value >= bound
    regex = ".*".join(re.escape(piece) for piece in part.split("*"))
    return bool(re.fullmatch(regex, str(value).strip(), re.IGNORECASE))

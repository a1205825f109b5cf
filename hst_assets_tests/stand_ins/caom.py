"""MAST's CAOM portal (``/api/v0/invoke``): searches by position and criteria, product lists."""

from __future__ import annotations

import functools
import json
import math
import re
from urllib.parse import parse_qs

from hst_assets.exposures.footprint import parse_footprint, signed_distance_arcsec
from hst_assets.failures import UnusableInput
from hst_assets_tests.stand_ins.archive_rows import (
    OBSERVATION_FIELDS,
    POSITION_FIELDS,
    PRODUCT_FIELDS,
)

_PAGE_SIZE = 50000


def request_of(body):
    """The portal's request within the body of a POST."""
    return json.loads(parse_qs(body)["request"][0])


def route_of(body):
    """A label of the request, such as ``caom.cone``, ``caom.filtered.position``, ``caom.count``."""
    try:
        request = request_of(body)
        counts = request["params"].get("columns") == "COUNT_BIG(*)"
        service = request["service"].lower()
    except (KeyError, ValueError):
        return "caom.unknown"
    known = service.startswith("mast.caom.")
    return "caom.count" if counts else service.removeprefix("mast.") if known else "caom.unknown"


def answer(holdings, body):
    """The reply to a request, as a JSON value."""
    try:
        request = request_of(body)
        service, params = request["service"], request["params"]
    except (KeyError, ValueError):
        return refusal("The request cannot be read.")
    if service == "Mast.Caom.Products":
        rows = holdings.products_of(set(str(params["obsid"]).split(",")))
        return _page(rows, PRODUCT_FIELDS, request)
    if service not in _SEARCHES:
        return refusal(f"Invalid service: {service}")
    position = _SEARCHES[service](params)
    fields = OBSERVATION_FIELDS | (POSITION_FIELDS if position else {})
    rows = [each.row for each in holdings.observations()]
    if position:
        rows = _within(rows, *position)
    for condition in params.get("filters", []):
        if condition["paramName"] not in OBSERVATION_FIELDS:
            return refusal(f"Invalid column name '{condition['paramName']}'.")
        rows = [row for row in rows if matches(row.get(condition["paramName"]), condition)]
    if params.get("columns") == "COUNT_BIG(*)":
        return _page([{"Column1": len(rows)}], {"Column1": "string"}, request)
    return _page(rows, fields, request)


_SEARCHES = {
    "Mast.Caom.Cone": lambda p: (float(p["ra"]), float(p["dec"]), float(p["radius"])),
    "Mast.Caom.Filtered": lambda p: None,
    "Mast.Caom.Filtered.Position": lambda p: tuple(map(float, p["position"].split(","))),
}


def refusal(message):
    """The reply that says so."""
    return {"status": "ERROR", "msg": message, "data": [], "fields": [], "paging": None}


def executing():
    """The reply of a search that is not done: the client shall ask again."""
    return {"status": "EXECUTING", "msg": "", "data": [], "fields": [], "paging": None}


def _page(rows, fields, request):
    size = int(request.get("pagesize") or _PAGE_SIZE)
    page = int(request.get("page") or 1)
    part = rows[(page - 1) * size : page * size]
    return {
        "status": "COMPLETE",
        "msg": "",
        "data": [{name: row.get(name) for name in fields} for row in part],
        "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
        "paging": {
            "page": page,
            "pageSize": size,
            "pagesFiltered": -(-len(rows) // size),
            "rows": len(part),
            "rowsFiltered": len(rows),
            "rowsTotal": len(rows),
        },
    }


def _within(rows, ra_deg, dec_deg, radius_deg):
    """Rows whose footprint comes within the radius, with `distance` to it in arcsec."""
    found = []
    for row in rows:
        distance = distance_arcsec(row, ra_deg, dec_deg)
        if distance <= radius_deg * 3600:
            found.append({**row, "objID1": row["objID"], "distance": distance})
    return sorted(found, key=lambda row: row["distance"])


def distance_arcsec(row, ra_deg, dec_deg):
    """From a position to an observation's footprint; 0 within it."""
    centre = separation_deg(ra_deg, dec_deg, row["s_ra"], row["s_dec"]) * 3600
    if centre > 3600:
        return centre
    outside = _outside_arcsec(row["s_region"], ra_deg, dec_deg)
    return centre if outside is None else outside


@functools.lru_cache(maxsize=20000)
def _outside_arcsec(region, ra_deg, dec_deg):
    circle = re.fullmatch(r"CIRCLE ICRS\s+(\S+)\s+(\S+)\s+(\S+)", region or "")
    if circle:
        ra, dec, radius = map(float, circle.groups())
        return max(0.0, (separation_deg(ra_deg, dec_deg, ra, dec) - radius) * 3600)
    try:
        polygons = parse_footprint(region or "")
    except UnusableInput:
        return None
    return max(0.0, -float(signed_distance_arcsec(polygons, ra_deg, dec_deg)))


def separation_deg(ra1, dec1, ra2, dec2):
    """Angle between two positions, degrees (haversine)."""
    ra1, dec1, ra2, dec2 = map(math.radians, (ra1, dec1, ra2, dec2))
    rise = math.sin((dec2 - dec1) / 2) ** 2
    turn = math.cos(dec1) * math.cos(dec2) * math.sin((ra2 - ra1) / 2) ** 2
    return math.degrees(2 * math.asin(math.sqrt(rise + turn)))


def matches(value, condition):
    """Whether a column's value is what a filter of the portal asks for."""
    wanted = condition["values"]
    if wanted and isinstance(wanted[0], dict):
        bounds = wanted[0]
        return value is not None and float(bounds["min"]) <= value <= float(bounds["max"])
    separator = condition.get("separator")
    text = "" if value is None else str(value)
    parts = text.split(separator) if separator else [text]
    named = {str(each).lower() for each in wanted}
    if any(part.lower() in named for part in [*parts, text]):
        return True
    pattern = condition.get("freeText")
    if not pattern:
        return False
    regex = ".*".join(re.escape(piece) for piece in pattern.split("%"))
    return any(re.fullmatch(regex, part, re.IGNORECASE) for part in parts)

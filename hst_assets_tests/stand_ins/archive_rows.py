"""How MAST's CAOM portal describes observations and their files, field by field.

Names, order and types are those of recorded replies; `None` stands where MAST says nothing.
"""

from __future__ import annotations

#: Columns of an observation and their types in a reply.
OBSERVATION_FIELDS = {
    "dataproduct_type": "string",
    "calib_level": "int",
    "obs_collection": "string",
    "obs_id": "string",
    "target_name": "string",
    "s_ra": "float",
    "s_dec": "float",
    "t_min": "float",
    "t_max": "float",
    "t_exptime": "float",
    "wavelength_region": "string",
    "filters": "string",
    "em_min": "float",
    "em_max": "float",
    "target_classification": "string",
    "obs_title": "string",
    "t_obs_release": "float",
    "instrument_name": "string",
    "proposal_pi": "string",
    "proposal_id": "string",
    "project": "string",
    "s_region": "string",
    "jpegURL": "string",
    "dataURL": "string",
    "dataRights": "string",
    "mtFlag": "boolean",
    "srcDen": "float",
    "intentType": "string",
    "obsid": "string",
    "objID": "string",
}

#: Columns that a search by position adds.
POSITION_FIELDS = {"objID1": "string", "distance": "float"}

#: Columns of a file and their types in a reply.
PRODUCT_FIELDS = {
    "obsID": "string",
    "obs_collection": "string",
    "dataproduct_type": "string",
    "obs_id": "string",
    "description": "string",
    "type": "string",
    "dataURI": "string",
    "productType": "string",
    "productGroupDescription": "string",
    "productSubGroupDescription": "string",
    "productDocumentationURL": "string",
    "project": "string",
    "prvversion": "string",
    "proposal_id": "string",
    "productFilename": "string",
    "size": "int",
    "parent_obsid": "string",
    "dataRights": "string",
    "calib_level": "int",
    "filters": "string",
    "_selected_": "boolean",
}

#: Columns whose values are lists in one text.
SEPARATED = ("obs_collection", "project", "filters", "wavelength_region", "target_classification")

_TYPES = {"float": "double", "int": "int", "boolean": "boolean", "string": "char"}
_LONG = ("obsid", "objID")
_SINGLE = ("distance", "srcDen")

#: Suffixes of the files beside the wanted ones: (suffix, kind of product).
OTHER_FILES = {
    "flc": (
        ("raw", "SCIENCE"),
        ("flt", "SCIENCE"),
        ("drz", "SCIENCE"),
        ("drc", "SCIENCE"),
        ("spt", "AUXILIARY"),
        ("jif", "AUXILIARY"),
        ("jit", "AUXILIARY"),
        ("trl", "INFO"),
    ),
    "flt": (
        ("raw", "SCIENCE"),
        ("ima", "SCIENCE"),
        ("drz", "SCIENCE"),
        ("spt", "AUXILIARY"),
        ("jif", "AUXILIARY"),
        ("jit", "AUXILIARY"),
        ("trl", "INFO"),
    ),
    "c0m": (
        ("d0m", "AUXILIARY"),
        ("c3m", "AUXILIARY"),
        ("q0m", "AUXILIARY"),
        ("q1m", "AUXILIARY"),
        ("shm", "AUXILIARY"),
        ("drz", "SCIENCE"),
        ("trl", "INFO"),
    ),
}


def columns_config():
    """The description of the columns of ``Mast.Caom.Cone`` that clients make their filters by."""
    columns = {"_selected_": {"text": "selected", "type": "boolean", "hidden": True}}
    for name, kind in {**OBSERVATION_FIELDS, **POSITION_FIELDS}.items():
        said = "long" if name in _LONG else "float" if name in _SINGLE else _TYPES[kind]
        columns[name] = {"text": name, "vot.datatype": said}
        if name in SEPARATED:
            columns[name]["separator"] = ";"
    return columns


def product_row(row, name, suffix, *, kind="SCIENCE", size=0, **fields):
    """A file of an observation with the given `row`."""
    return {
        **dict.fromkeys(PRODUCT_FIELDS),
        "obsID": row["obsid"],
        "obs_collection": row["obs_collection"],
        "dataproduct_type": row["dataproduct_type"],
        "obs_id": row["obs_id"],
        "description": f"DADS {suffix.upper()} file",
        "type": "S",
        "dataURI": f"mast:HST/product/{name}",
        "productType": kind,
        "productSubGroupDescription": suffix.upper(),
        "project": row["project"],
        "proposal_id": row["proposal_id"],
        "productFilename": name,
        "size": size,
        "parent_obsid": row["obsid"],
        "dataRights": row["dataRights"],
        "calib_level": row["calib_level"],
        "filters": row["filters"],
        **fields,
    }


def observation_row(obs_id, obsid, **fields):
    """An observation; what is not given is what MAST says of a common one."""
    return {
        **dict.fromkeys(OBSERVATION_FIELDS),
        "dataproduct_type": "image",
        "calib_level": 2,
        "obs_collection": "HST",
        "obs_id": obs_id,
        "target_name": "FIELD",
        "wavelength_region": "OPTICAL",
        "em_min": 470.0,
        "em_max": 720.0,
        "target_classification": "GALAXY;FIELD",
        "obs_title": "A field",
        "proposal_pi": "Nobody",
        "project": "HST",
        "dataRights": "PUBLIC",
        "mtFlag": False,
        "intentType": "science",
        "obsid": obsid,
        "objID": obsid + 900_000_000,
        **fields,
    }

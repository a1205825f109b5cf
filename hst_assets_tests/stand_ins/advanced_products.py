"""What MAST lists beside an exposure and near it that is no exposure of its own.

The Hubble Advanced Products (HAP) hold each exposure a second time, under a name that ends with
the first eight characters of its rootname, and a mosaic of each filter; the Hubble Legacy Archive
(HLA) has mosaics of its own. Both share instrument, filter, place and time with the exposure.
"""

from __future__ import annotations

from hst_assets_tests.stand_ins.archive_rows import observation_row, product_row

_SIZE = 11520


def advanced_copies(row, suffix, numbers):
    """The HAP exposure, the HAP mosaic and the HLA mosaic of an exposure.

    Returns
    -------
    copies : list of tuple
        (row of CAOM, rows of its files).
    """
    place = row["instrument_name"].lower().replace("/", "_")
    elements = [e.lower() for e in row["filters"].split(";") if not e.startswith("CLEAR")]
    proposal, visit = row["proposal_id"], row["obs_id"][4:6]
    mosaic = f"hst_{proposal}_{visit}_{place}_{'-'.join(elements)}_{row['obs_id'][:6]}"
    exposure = f"{mosaic}{row['obs_id'][6:8]}"
    return [
        _copy(row, exposure, next(numbers), suffix, project="HAP"),
        _copy(row, mosaic, next(numbers), None, project="HAP", calib_level=3),
        _legacy(row, mosaic.rpartition("_")[0], next(numbers)),
    ]


def _copy(row, obs_id, number, suffix, **columns):
    copy = {**row, "obs_id": obs_id, "obsid": number, "objID": number + 9, **columns}
    drizzled = "drc" if suffix == "flc" else "drz"
    suffixes = [drizzled] if suffix is None else [suffix, drizzled]
    files = [product_row(copy, f"{obs_id}_{s}.fits", s, size=_SIZE, type="D") for s in suffixes]
    text = product_row(copy, f"{obs_id}_trl.txt", "trl", kind="INFO", size=_SIZE, type="D")
    return copy, [*files, text]


def _legacy(row, obs_id, number):
    columns = {"obs_collection": "HLA", "project": "HLA", "calib_level": 3}
    copy, files = _copy(row, obs_id, number, None, **columns)
    name = files[0]["productFilename"]
    files[0]["dataURI"] = f"mast:HLA/url/cgi-bin/getdata.cgi?download=1&filename={name}"
    return copy, files


def strangers(ra_deg, dec_deg, numbers):
    """Rows of observations near a position that are no images of the supported detectors."""
    place = {
        "s_ra": ra_deg,
        "s_dec": dec_deg,
        "s_region": f"CIRCLE ICRS {ra_deg:.8f} {dec_deg:.8f} 0.1",
        "t_min": 55000.0,
        "t_max": 55000.1,
        "t_exptime": 900.0,
        "t_obs_release": 55400.0,
        "proposal_id": "54321",
    }
    kinds = {
        "6374469411427844096": {
            "obs_collection": "GALEX",
            "instrument_name": "GALEX",
            "project": "AIS",
            "filters": "FUV",
            "proposal_id": None,
        },
        "tess-s0001-1-1": {
            "obs_collection": "TESS",
            "instrument_name": "Photometer",
            "project": "TESS",
            "filters": "TESS",
            "target_name": "TESS FFI",
        },
        "o6au01msq": {
            "instrument_name": "STIS/CCD",
            "filters": "MIRVIS",
            "dataproduct_type": "spectrum",
        },
        "ibzz01g1q": {"instrument_name": "WFC3/IR", "filters": "G141"},
        "jbzz01d1q": {
            "instrument_name": "ACS/WFC",
            "filters": "F606W;CLEAR2L",
            "intentType": "calibration",
            "target_name": "DARK",
        },
        "jbzz02s1q": {"instrument_name": "ACS/SBC", "filters": "F150LP"},
        "ubzz01p1m": {"instrument_name": "WFPC2/WFC", "filters": "F300W", "calib_level": -1},
    }
    return [
        observation_row(obs_id, next(numbers), **{**place, **columns})
        for obs_id, columns in kinds.items()
    ]

"""The archive's services without a network: rows that were put in, and a record of who asked."""

from __future__ import annotations

import itertools

from hst_assets.failures import TransientFailure
from hst_assets_tests.stand_ins.archive_rows import observation_row, product_row

#: A square of 0.1 degrees about the usual place.
PLACE = (150.0, 2.0)
SQUARE = "POLYGON ICRS 149.95 1.95 150.05 1.95 150.05 2.05 149.95 2.05 149.95 1.95"

ACS = {"instrument_name": "ACS/WFC", "filters": "CLEAR1L;F606W"}
UVIS = {"instrument_name": "WFC3/UVIS", "filters": "F606W"}
IR = {"instrument_name": "WFC3/IR", "filters": "F160W"}
HRC = {"instrument_name": "ACS/HRC", "filters": "F555W;CLEAR2S"}
WFPC2 = {"instrument_name": "WFPC2/WFC", "filters": "F814W"}


def row_of(obs_id="j8bt06n0q", obsid=1001, **fields):
    """A wanted observation of ACS/WFC at the usual place, but for `fields`."""
    common = {
        **ACS,
        "s_ra": PLACE[0],
        "s_dec": PLACE[1],
        "s_region": SQUARE,
        "t_min": 53000.0,
        "t_max": 53000.01,
        "t_exptime": 400.0,
        "t_obs_release": 53365.0,
        "proposal_id": "10424",
    }
    return observation_row(obs_id, obsid, **{**common, **fields})


class ArchiveServices:
    """Answers with `rows`, `files` and `sets`, whatever the criteria; `asked` says what came."""

    def __init__(self):
        self.rows, self.files, self.sets = [], [], []
        self.asked = []
        self.missions_fail = False
        self._numbers = itertools.count(1001)

    def add(self, obs_id, suffixes=("raw", "flt", "flc"), *, members=(), **fields):
        """An observation with its files, and the dataset that the other catalogue has of it."""
        row = row_of(obs_id, next(self._numbers), **fields)
        self.rows.append(row)
        for name, suffix in itertools.product(members or [obs_id.lower()], suffixes):
            self.files.append(product_row(row, f"{name}_{suffix}.fits", suffix, size=1000))
        self.sets.append(dataset_of(row))
        return row

    def observations(self, criteria):
        self.asked.append(("observations", criteria))
        return self.rows

    def products(self, obsids):
        self.asked.append(("products", tuple(obsids)))
        return [row for row in self.files if str(row["parent_obsid"]) in obsids]

    def datasets(self, criteria):
        self.asked.append(("datasets", criteria))
        if self.missions_fail:
            raise TransientFailure("the service is out of order")
        return self.sets

    def count(self, what):
        return sum(kind == what for kind, _ in self.asked)


def dataset_of(row, **fields):
    """The Missions search's words on an observation of CAOM."""
    return {
        "sci_data_set_name": row["obs_id"].upper(),
        "sci_instrument_config": row["instrument_name"],
        "sci_spec_1234": row["filters"],
        "sci_actual_duration": row["t_exptime"],
        "sci_start_time": "2003-12-27T00:00:00.000000",
        "sci_stop_time": "2003-12-27T00:14:24",
        "sci_release_date": "2004-12-26T00:00:00",
        "sci_status": "PUBLIC" if row["dataRights"] == "PUBLIC" else "PROPRIETARY",
        "sci_ra": row["s_ra"],
        "sci_dec": row["s_dec"],
        "sci_pep_id": int(row["proposal_id"]),
        "sci_obs_type": "IMAGE",
        "sci_aec": "S",
        "sci_asn_id": None,
        **fields,
    }

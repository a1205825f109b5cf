"""What a stand-in archive holds: observations, their files, and the noise of real product lists.

Exposures come from FITS files on disk, as the simulator writes them, or are made on the spot with
a few pixels each (`Holdings.add_synthetic`). Each brings with it what MAST lists besides: raw and
auxiliary files, the copies of the Hubble Advanced Products under eight-character rootnames, and
the Hubble Legacy Archive's mosaics. Only the wanted files have bytes; the others answer 404.
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hst_assets.detectors import DETECTORS
from hst_assets.exposures.footprint import format_footprint
from hst_assets.exposures.header import read_exposure
from hst_assets_tests.stand_ins.advanced_products import advanced_copies, strangers
from hst_assets_tests.stand_ins.archive_rows import OTHER_FILES, observation_row, product_row
from hst_assets_tests.stand_ins.file_service import FileService
from hst_assets_tests.stand_ins.tiny_exposures import ELEMENTS, SIDE_PIX, tiny_exposure

#: How CAOM spells the detectors.
INSTRUMENT_NAMES = {
    "wfc3_uvis": "WFC3/UVIS",
    "wfc3_ir": "WFC3/IR",
    "acs_wfc": "ACS/WFC",
    "acs_hrc": "ACS/HRC",
    "wfpc2": "WFPC2/PC",
}
_MJD_OF_UNIX_EPOCH = 40587.0
_DAY_S = 86400.0
_OTHER_SIZE = 8640


def now_mjd():
    """This moment (MJD, UTC)."""
    return _MJD_OF_UNIX_EPOCH + time.time() / _DAY_S


@dataclass(frozen=True)
class Observation:
    """An observation with its files.

    Attributes
    ----------
    row : dict
        Columns of CAOM (`archive_rows.OBSERVATION_FIELDS`).
    products : tuple of dict
        Its files (`archive_rows.PRODUCT_FIELDS`).
    visit : str
        IPPPSS; empty where it has none.
    members : tuple of str
        Rootnames of the exposures of an association; their files are listed with its own.
    listed : bool
        Whether searches find it (members of associations may be found by product list only).
    hidden : bool
        Not yet in the archive.
    """

    row: dict
    products: tuple[dict, ...] = ()
    visit: str = ""
    members: tuple[str, ...] = ()
    listed: bool = True
    hidden: bool = False

    @property
    def obs_id(self):
        return self.row["obs_id"]

    @property
    def is_of_missions(self):
        """Whether the Missions search knows it: datasets of HST itself only."""
        return self.row["obs_collection"] == "HST" and self.row["project"] == "HST"

    def answers_to(self, name):
        return name.lower() in (self.visit, self.obs_id.lower())


class Holdings:
    """Observations and files of a stand-in archive; safe to change while it is served.

    Parameters
    ----------
    noise : bool
        Whether exposures bring advanced products and other files with them.

    Attributes
    ----------
    files : FileService
        Serves the bytes, with faults; see there.
    """

    def __init__(self, *, noise=True):
        self.noise = noise
        self.files = FileService()
        self._observations: dict[str, Observation] = {}
        self._lock = threading.RLock()
        self._numbers = itertools.count(2_003_500_000)

    # ------------------------------------------------------------------------------ filling

    def add_file(self, path, *, proposal=None, instrument_name=None, **circumstances):
        """Hold an exposure of disk; of WFPC2 its c1m file as well.

        Further arguments are those of `add_synthetic`: release_mjd, data_rights, hidden, region.
        """
        path = Path(path)
        exposure = read_exposure(path)
        contents = {path.name: path}
        if exposure.detector.has_separate_dq:
            companion = path.with_name(path.name.replace("_c0m", "_c1m"))
            contents[companion.name] = companion
        ra_deg, dec_deg = exposure.field_centre_deg
        columns = {
            "instrument_name": instrument_name or INSTRUMENT_NAMES[exposure.detector.key],
            "filters": ";".join(element for element in exposure.filter_elements if element),
            "target_name": exposure.target_name or "FIELD",
            "proposal_id": str(proposal or _proposal_of(path)),
            "s_ra": ra_deg,
            "s_dec": dec_deg,
            "s_region": format_footprint(exposure.polygons),
            "t_min": exposure.mjd_start,
            "t_max": exposure.mjd_end,
            "t_exptime": exposure.exptime_s,
        }
        suffix = exposure.detector.suffix
        return self._add(exposure.rootname, suffix, columns, contents, **circumstances)

    def add_folder(self, folder, **circumstances):
        """Hold all exposures below a folder; arguments as of `add_file`."""
        found = sorted(
            path for suffix in OTHER_FILES for path in Path(folder).rglob(f"*_{suffix}.fits")
        )
        return [self.add_file(path, **circumstances) for path in found]

    def add_synthetic(
        self,
        rootname,
        detector_key,
        ra_deg,
        dec_deg,
        *,
        elements=None,
        mjd=59000.25,
        exptime_s=400.0,
        proposal="12345",
        target_name="FIELD",
        instrument_name=None,
        side_pix=SIDE_PIX,
        salt=0,
        **circumstances,
    ):
        """Hold an exposure of a few pixels, made here; its announced footprint is a full one.

        Parameters
        ----------
        release_mjd : float, optional
            When it became, or becomes, public; a day after the exposure unless given.
        data_rights : str
            PUBLIC, EXCLUSIVE_ACCESS or RESTRICTED.
        hidden : bool
            Not in the archive before `release` is called.
        region : str, optional
            The s_region, in place of the true one.
        """
        contents = tiny_exposure(
            rootname,
            detector_key,
            ra_deg,
            dec_deg,
            elements=elements,
            mjd=mjd,
            exptime_s=exptime_s,
            proposal=proposal,
            target_name=target_name,
            side_pix=side_pix,
            salt=salt,
        )
        columns = {
            "instrument_name": instrument_name or INSTRUMENT_NAMES[detector_key],
            "filters": ";".join(e for e in elements or ELEMENTS[detector_key] if e),
            "target_name": target_name,
            "proposal_id": proposal,
            "s_ra": ra_deg,
            "s_dec": dec_deg,
            "s_region": format_footprint([full_frame(detector_key, ra_deg, dec_deg)]),
            "t_min": mjd,
            "t_max": mjd + exptime_s / _DAY_S,
            "t_exptime": exptime_s,
        }
        suffix = DETECTORS[detector_key].suffix
        return self._add(rootname, suffix, columns, contents, **circumstances)

    def add_visit(self, visit, detector_key, ra_deg, dec_deg, *, n_exposures=2, **options):
        """Hold the exposures of one visit, one after the other, as `add_synthetic` makes them."""
        mjd = options.pop("mjd", 59000.25)
        step = (options.get("exptime_s", 400.0) + 120) / _DAY_S
        return [
            self.add_synthetic(
                f"{visit}{chr(97 + number // 26)}{chr(97 + number % 26)}q",
                detector_key,
                ra_deg,
                dec_deg,
                mjd=mjd + number * step,
                **options,
            )
            for number in range(n_exposures)
        ]

    def add_strangers(self, ra_deg, dec_deg):
        """Hold what is found near every target and is not wanted (other missions, spectra, …)."""
        with self._lock:
            for row in strangers(ra_deg, dec_deg, self._numbers):
                self._observations[row["obs_id"]] = Observation(row)

    def associate(self, name, rootnames, *, members_listed=False):
        """Put exposures into an association: one observation that lists the files of all.

        MAST finds the association, and its members by themselves only if `members_listed`.
        """
        with self._lock:
            members = [self._observations[rootname] for rootname in rootnames]
            first = members[0].row
            row = {
                **first,
                **observation_row(name, next(self._numbers), **_sum_of([m.row for m in members])),
            }
            own = ("asn", "AUXILIARY"), ("drz", "SCIENCE"), ("drc", "SCIENCE"), ("trl", "INFO")
            products = tuple(
                product_row(row, f"{name}_{s}.fits", s, kind=k, size=_OTHER_SIZE, type="C")
                for s, k in own
            )
            for member in members:
                self._observations[member.obs_id] = replace(member, listed=members_listed)
            self._observations[name] = Observation(
                row, products, members[0].visit, tuple(rootnames), hidden=members[0].hidden
            )
        return self._observations[name]

    def _add(
        self,
        rootname,
        suffix,
        columns,
        contents,
        *,
        release_mjd=None,
        data_rights="PUBLIC",
        hidden=False,
        region=None,
        in_s3=True,
    ):
        release_mjd = columns["t_max"] + 1.0 if release_mjd is None else release_mjd
        columns |= {"t_obs_release": release_mjd, "dataRights": data_rights}
        if region is not None:
            columns["s_region"] = region
        with self._lock:
            row = observation_row(rootname, next(self._numbers), **columns)
            products = [
                product_row(row, name, name[-8:-5], size=_size(content))
                for name, content in contents.items()
            ]
            for name, content in contents.items():
                self.files.hold(name, content, rights=data_rights, in_s3=in_s3)
            visit = rootname[:6]
            copies = advanced_copies(row, suffix, self._numbers) if self.noise else ()
            for copy, copied in copies:
                kept = Observation(copy, tuple(copied), visit, hidden=hidden)
                # Mosaics come with each exposure of a visit; the first of them stays.
                self._observations.setdefault(copy["obs_id"], kept)
                if copy["obs_id"].endswith(rootname[:8]):
                    products += [{**each, "parent_obsid": row["obsid"]} for each in copied]
            if self.noise:
                products += _other_products(row, suffix)
            kept = Observation(row, tuple(products), visit, hidden=hidden)
            self._observations[rootname] = kept
        return kept

    # ----------------------------------------------------------------------------- changing

    def release(self, name, mjd=None):
        """Make a visit or an observation public, now or at a moment; hidden ones appear."""
        released = {"t_obs_release": now_mjd() if mjd is None else mjd, "dataRights": "PUBLIC"}
        for observation in self._named(name):
            self._update(observation, released, hidden=False)

    def hide(self, name):
        """Take a visit or an observation out of the archive's answers."""
        for observation in self._named(name):
            self._update(observation, {}, hidden=True)

    def change(self, name, **columns):
        """Change columns of CAOM of a visit or an observation."""
        for observation in self._named(name):
            self._update(observation, columns)

    def change_product(self, filename, **columns):
        """Change what is said of a file: size, productFilename, dataURI, …, wherever it is listed.

        The bytes stay where they were, under the true name.
        """
        with self._lock:
            for key, observation in self._observations.items():
                if all(p["productFilename"] != filename for p in observation.products):
                    continue
                products = tuple(
                    {**p, **columns} if p["productFilename"] == filename else p
                    for p in observation.products
                )
                self._observations[key] = replace(observation, products=products)

    def replace_file(self, filename, content, release_mjd=None):
        """Release a file anew: other bytes (or a path), their size, another release date."""
        held = self.files.files[filename]
        self.files.files[filename] = replace(held, content=content, modified=time.time())
        self.change_product(filename, size=_size(content))
        for observation in self._named(filename[:9]):
            self._update(
                observation, {"t_obs_release": now_mjd() if release_mjd is None else release_mjd}
            )

    def _update(self, observation, columns, *, hidden=None):
        with self._lock:
            row = {**observation.row, **columns}
            shared = {k: v for k, v in columns.items() if k in ("dataRights", "filters")}
            products = tuple({**product, **shared} for product in observation.products)
            hidden = observation.hidden if hidden is None else hidden
            changed = replace(observation, row=row, products=products, hidden=hidden)
            del self._observations[observation.obs_id]
            self._observations[changed.obs_id] = changed
            if "dataRights" in columns:
                for product in products:
                    self._set_rights(product["productFilename"], columns["dataRights"])

    def _set_rights(self, filename, rights):
        held = self.files.files.get(filename)
        if held is not None:
            self.files.files[filename] = replace(held, rights=rights)

    def _named(self, name):
        with self._lock:
            found = [each for each in self._observations.values() if each.answers_to(name)]
        if not found:
            raise KeyError(name)
        return found

    # ------------------------------------------------------------------------------- asking

    def observations(self):
        """What searches may find."""
        with self._lock:
            return [each for each in self._observations.values() if each.listed and not each.hidden]

    def products_of(self, obsids):
        """Files of observations by their numbers, those of members included."""
        found = []
        with self._lock:
            for observation in self._observations.values():
                if str(observation.row["obsid"]) in obsids and not observation.hidden:
                    found += self._products(observation)
        return found

    def _products(self, observation):
        own = list(observation.products)
        for member in observation.members:
            number = observation.row["obsid"]
            own += [{**p, "parent_obsid": number} for p in self._observations[member].products]
        return own

    def file_names(self):
        """Names of the files with bytes."""
        return sorted(self.files.files)


def full_frame(detector_key, ra_deg, dec_deg):
    """Corners (RA, Dec) of a square as large as the detector's full frame, north up."""
    detector = DETECTORS[detector_key]
    side = detector.full_shape[1] * detector.pixel_scale_arcsec / 3600 / 2
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * side
    stretch = np.cos(np.radians(dec_deg))
    ra = (ra_deg + corners[:, 0] / stretch) % 360
    return np.column_stack((ra, dec_deg + corners[:, 1]))


def _other_products(row, suffix):
    name = row["obs_id"]
    files = [
        product_row(row, f"{name}_{other}.fits", other, kind=kind, size=_OTHER_SIZE)
        for other, kind in OTHER_FILES[suffix]
    ]
    preview = product_row(row, f"{name}_{suffix}.jpg", suffix, kind="PREVIEW", size=_OTHER_SIZE)
    return [*files, {**preview, "productSubGroupDescription": None}]


def _sum_of(rows):
    """What an association of observations says of itself."""
    return {
        **{key: rows[0][key] for key in ("instrument_name", "filters", "target_name")},
        **{key: rows[0][key] for key in ("proposal_id", "s_ra", "s_dec", "dataRights")},
        "calib_level": 3,
        "t_exptime": sum(row["t_exptime"] for row in rows),
        "t_min": min(row["t_min"] for row in rows),
        "t_max": max(row["t_max"] for row in rows),
        "t_obs_release": max(row["t_obs_release"] for row in rows),
        "s_region": " ".join(row["s_region"] for row in rows),
    }


def _size(content):
    return len(content) if isinstance(content, bytes) else Path(content).stat().st_size


def _proposal_of(path):
    from astropy.io import fits

    return fits.getheader(path).get("PROPOSID", 12345)

"""A stand-in for the science: instant steps that only follow versions.

Each step writes one small file with a provenance record, made of its inputs' digests exactly as
the real steps do, and notes that it ran. So whole pipelines run in seconds, and tests can count.
"""

from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest

from hst_assets.exposure_account import Account
from hst_assets.exposures.raw import RawFile, write_ledger
from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.hap.quality.limits import KINDS_OF_QUALITY
from hst_assets.orchestration.asset_row import AssetRow
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.build import build_defs
from hst_assets.orchestration.input_versions import raw_visits
from hst_assets.orchestration.levels import AssetTable
from hst_assets.provenance import Recipe, Result, make, read_record, sha256_of_file
from hst_assets.settings import write_settings
from hst_assets.workdir import WorkDir, write_atomically
from hst_assets_tests import dagster_assets, dagster_databases
from hst_assets_tests.orchestration.daemon import Daemon
from hst_assets_tests.stand_ins.holdings import Holdings, now_mjd
from hst_assets_tests.stand_ins.mast import Mast

dagster_assets.make_once()
dagster_databases.make_quickly()

FACTS = {
    "n_exposures": 2,
    "n_used": 2,
    "n_products": 1,
    "not_checked": [],
    "n_anchor": 0,
    # Of the photometry.
    "n_chips": 2,
    "chips_left_out": 0,
    "rejected": [],
    "warnings": [],
    "remarks": [],
    "libraries_not_found": [],
    "n_objects": 9,
    "n_stars": 9,
    "cuts": [],
    "n_mentioned": 9,
    "n_found": 9,
    "limits": [],
    # Of light curves.
    "n_points": 9,
    "not_measured": [],
    "compared": [],
    "star": 1,
    "star_note": "",
    "offset_arcsec": 0.01,
    "offset_sigma": 0.1,
    # Of the counterpart.
    "unknown_terms": [],
    "error_mas": 5.0,
    "identification": "counterpart",
    "n_inside": 1,
    # Of the advanced products.
    "n_fitted": 2,
    "n_detectors": 1,
    "n_detectors_usable": 1,
    "accepts_a_priori_wcs": False,
    "not_fitted": [],
    "failed": [],
    "without": [],
    "n_catalogs": 1,
    "catalogs": [{"file": "total_point-cat.ecsv", "n_sources": 9}],
    "empty": [],
    "notes": [],
    "return_code": 0,
    "meaning": "the products were made",
    "problems": [],
    "ends_with": "0: the products were made",
    "tests": [{"test": "report_wcs", "outcome": "done"}],
    "not_tested": [],
    "n_lacking": 0,
    "lacking": [],
    "verdicts": [{"kind": kind, "verdict": "good", "reason": "so"} for kind in KINDS_OF_QUALITY],
    "skipped": "",
    "n_compared": 0,
    "left_out": [],
    "not_aligned": [],
    # Of the publication.
    "n_files": 9,
    "n_by_checksum": 9,
    "n_by_size": 0,
    "not_sent": [],
}

#: Settings that want every level.
EVERYTHING_WANTED = {
    "photometry": {"artificial_stars": True},
    "light_curve": {"make": True},
    "counterpart": {"ra_deg": 1.0, "dec_deg": 2.0, "error_mas": 5.0},
    "hap": {"make": True, "quality": True, "mosaics": True},
    "publish": {"destination": "memory://published"},
}


@dataclass
class Campaign:
    """Work directories with invented raw files, and what the stand-in steps did."""

    root: Path
    ran: list[tuple[str, str]] = field(default_factory=list)
    #: What fails before it begins, and what fails while it is made.
    broken: set[tuple[str, str]] = field(default_factory=set)
    failing: set[tuple[str, str]] = field(default_factory=set)
    #: Assets whose digests the recipes downstream do not name.
    unnamed: set[str] = field(default_factory=set)
    facts: dict[str, object] = field(default_factory=lambda: dict(FACTS))
    table: AssetTable = ASSETS
    #: Version of the code of all steps.
    code: str = "1"

    def workdir(self, target: str) -> WorkDir:
        return WorkDir(self.root, target)

    def add_exposure(self, target: str, visit: str, number: int = 0) -> None:
        """Put one more invented file into a visit's raw files and the ledger."""
        from hst_assets.exposures.raw import raw_ledger

        workdir = self.workdir(target).create()
        if not workdir.settings_file.is_file():
            write_settings(workdir, {"target": {"ra_deg": 10.0, "dec_deg": 20.0}})
        name = f"{visit}a{number}q_flc.fits"
        path = workdir.raw / name
        path.write_text(f"{target} {name}")
        status = path.stat()
        added = RawFile(
            name=name,
            rootname=f"{visit}a{number}q",
            visit=visit,
            suffix="flc",
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            sha256=sha256_of_file(path),
        )
        write_ledger(workdir, [*raw_ledger(workdir), added])

    def step(self, workdir, asset, partition, inputs, redo, settings=None):
        """One instant step."""
        if (asset, partition) in self.broken:
            raise UnusableInput("broken on purpose", where=partition)
        product = self.table.product_path(workdir.root, asset, partition)

        def run():
            self.ran.append((asset, partition))
            if (asset, partition) in self.failing:
                raise UnusableInput("fails on purpose", where=partition)
            with write_atomically(product) as part:
                part.write_text(f"{asset} {partition}")
            return Result((product,), self.facts)

        recipe = Recipe(asset, self.code, inputs, settings or {})
        return make(recipe, product, workdir, run, redo=redo)

    def digest(self, workdir, asset, partition) -> str:
        if asset in self.unnamed:
            return "unnamed"
        path = self.table.product_path(workdir.root, asset, partition)
        record = read_record(path)
        if record is None:
            raise MissingProduct(f"{asset} was not made before it was needed", where=path)
        return record.digest


#: The settings that a stand-in follows, of the assets of which a test changes one.
SETTINGS_OF = {
    "exposure_table": lambda settings: settings.selection.as_recipe(),
    "epoch_drizzles": lambda settings: {"drizzle": {"pixfrac": settings.drizzle.pixfrac}},
    "epoch_differences": lambda settings: settings.difference.as_recipe(),
}


def stand_in(campaign, row, table=ASSETS):
    """The function that takes the place of the science of a row: it follows its inputs' digests."""
    if row.body:
        by_hand = _written_by_hand(campaign)[row.make.replace(":", ".")]
        return lambda *arguments, redo=False: by_hand(*arguments, redo=redo)

    def make_it(workdir, *arguments, redo=False, progress=None):
        *subject, settings = arguments
        inputs = {}
        if row.gathers:
            (visits,) = subject
            key = workdir.target
            inputs |= {v: campaign.digest(workdir, row.gathers, f"{key}/{v}") for v in visits}
        else:
            key = "/".join([workdir.target, *subject])
        for upstream in map(table.__getitem__, row.after):
            scattered = upstream.scatters
            name, of = (scattered, workdir.target) if scattered else (upstream.name, key)
            inputs[name] = campaign.digest(workdir, name, of)
        for name in row.follows:
            if read_record(table.product_path(workdir.root, name, key)) is not None:
                inputs[name] = campaign.digest(workdir, name, key)
        for name in row.follows_visits:
            for visit in raw_visits(workdir):
                key_of_visit = f"{workdir.target}/{visit}"
                if read_record(table.product_path(workdir.root, name, key_of_visit)) is not None:
                    inputs[f"{name} {visit}"] = campaign.digest(workdir, name, key_of_visit)
        used = SETTINGS_OF.get(row.name, lambda _: {})(settings)
        return campaign.step(workdir, row.name, key, inputs, redo, used)

    return make_it


def _written_by_hand(campaign):
    """The functions that bodies written by hand call."""

    def raw(workdir, visit, _settings=None, *, redo=False):
        return campaign.step(
            workdir,
            "raw_exposures",
            f"{workdir.target}/{visit}",
            {"raw": raw_visits(workdir)[visit]},
            redo,
        )

    def reference(workdir, settings, *, redo=False, choose_afresh=False):
        # Sticky, as the real one: it does not follow the table once it stands.
        if not workdir.looked_at:
            workdir.reference_choice.parent.mkdir(parents=True, exist_ok=True)
            workdir.reference_choice.write_text('{"image": "reference.drc.fits"}')
        return campaign.step(
            workdir,
            "reference_image",
            workdir.target,
            {"target": workdir.target},
            redo or choose_afresh,
        )

    return {
        "hst_assets.exposures.table.make_raw_manifest": raw,
        "hst_assets.astrometry.reference.image.make_reference": reference,
    }


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    """An empty root whose science steps are instant."""
    return instant_campaign(tmp_path / "root", monkeypatch)


def instant_campaign(root, patch):
    """An empty root whose science steps are instant while a patch is in force."""
    campaign = Campaign(root)
    for name, function in _written_by_hand(campaign).items():
        patch.setattr(name, function)
    # The stand-ins' tables are none.
    empty = Account(n_exposures=0, n_used=0, left_out=(), products=())
    patch.setattr("hst_assets.exposure_account.account_of", lambda _workdir: empty)
    patch.setattr(AssetRow, "maker", lambda row: stand_in(campaign, row, campaign.table))
    return campaign


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def defs(campaign):
    return build_defs(root=str(campaign.root), table=campaign.table)


@pytest.fixture
def instance_on_disk(tmp_path):
    """Dagster resolves partitions that a tick adds only where the instance has a reference."""
    home = tmp_path / "home"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        yield instance


@pytest.fixture
def daemon(campaign, defs, instance):
    return Daemon(defs, instance, campaign.root)


# ------------------------------------------------------------------------- archive targets


@dataclass
class Archive:
    """The stand-in for MAST, and targets that are looked for in it."""

    mast: Mast
    campaign: Campaign

    @property
    def holdings(self):
        return self.mast.holdings

    def add_target(self, target, **archive) -> WorkDir:
        """An archive target a degree of declination from the one before."""
        workdir = self.campaign.workdir(target).create()
        settings = {"query": True, "max_tries": 1, "listing_max_age_s": 0.0, **archive}
        ra_deg, dec_deg = self.position(target)
        write_settings(
            workdir, {"target": {"ra_deg": ra_deg, "dec_deg": dec_deg}, "archive": settings}
        )
        return workdir

    def position(self, target):
        return 150.1, float(target.removeprefix("sn"))

    def add_visit(self, target, visit, *, released_days_ago=1.0, **options):
        """A visit of one exposure of a few pixels at the target's position."""
        options = {"n_exposures": 1, "side_pix": 64, **options}
        options.setdefault("release_mjd", now_mjd() - released_days_ago)
        return self.holdings.add_visit(visit, "acs_wfc", *self.position(target), **options)


@pytest.fixture
def archive(campaign, monkeypatch):
    monkeypatch.delenv("MAST_API_TOKEN", raising=False)
    with Mast(Holdings(noise=False)) as mast:
        lines = [f'{key} = "{value}"' for key, value in mast.settings().items()]
        campaign.root.mkdir(parents=True, exist_ok=True)
        (campaign.root / "settings.toml").write_text("\n".join(["[archive]", *lines, ""]))
        yield Archive(mast, campaign)

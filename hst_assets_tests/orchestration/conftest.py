"""A stand-in for the science: instant steps that only follow versions.

Each step writes one small file with a provenance record, made of its inputs' digests exactly as
the real steps do, and notes that it ran. So whole pipelines run in seconds, and tests can count.
"""

from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest

from hst_assets.exposures.raw import RawFile, write_ledger
from hst_assets.failures import UnusableInput
from hst_assets.orchestration.build import build_defs
from hst_assets.orchestration.input_versions import raw_visits
from hst_assets.orchestration.io_managers import product_path
from hst_assets.provenance import Recipe, Result, make, read_record, sha256_of_file
from hst_assets.settings import write_settings
from hst_assets.workdir import WorkDir, write_atomically
from hst_assets_tests import dagster_databases
from hst_assets_tests.orchestration.daemon import Daemon
from hst_assets_tests.stand_ins.holdings import Holdings, now_mjd
from hst_assets_tests.stand_ins.mast import Mast

dagster_databases.make_quickly()

FACTS = {"n_exposures": 2, "n_used": 2, "n_products": 1}


@dataclass
class Campaign:
    """Work directories with invented raw files, and what the stand-in steps did."""

    root: Path
    ran: list[tuple[str, str]] = field(default_factory=list)
    broken: set[tuple[str, str]] = field(default_factory=set)
    facts: dict[str, object] = field(default_factory=lambda: dict(FACTS))

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
        product = product_path(workdir.root, asset, partition)

        def run():
            self.ran.append((asset, partition))
            with write_atomically(product) as part:
                part.write_text(f"{asset} {partition}")
            return Result((product,), self.facts)

        recipe = Recipe(asset, "1", inputs, settings or {})
        return make(recipe, product, workdir, run, redo=redo)

    def digest(self, workdir, asset, partition) -> str:
        record = read_record(product_path(workdir.root, asset, partition))
        assert record, f"{asset} {partition} was not made before it was needed"
        return record.digest


def _science(campaign):
    """The functions that take the places of the science entry points."""

    def raw(workdir, visit, *, redo=False):
        return campaign.step(
            workdir,
            "raw_exposures",
            f"{workdir.target}/{visit}",
            {"raw": raw_visits(workdir)[visit]},
            redo,
        )

    def after(asset, before):
        def step(workdir, visit, settings, *, redo=False):
            key = f"{workdir.target}/{visit}"
            inputs = {name: campaign.digest(workdir, name, key) for name in before}
            used = settings.selection.as_recipe() if asset == "exposure_table" else {}
            return campaign.step(workdir, asset, key, inputs, redo, used)

        return step

    def aligned(workdir, visit, settings, *, redo=False):
        key = f"{workdir.target}/{visit}"
        inputs = {
            "table": campaign.digest(workdir, "exposure_table", key),
            "reference": campaign.digest(workdir, "reference_image", workdir.target),
        }
        return campaign.step(workdir, "aligned_exposures", key, inputs, redo)

    def gathered(asset, of):
        def step(workdir, visits, settings, *, redo=False):
            inputs = {v: campaign.digest(workdir, of, f"{workdir.target}/{v}") for v in visits}
            return campaign.step(workdir, asset, workdir.target, inputs, redo)

        return step

    def reference(workdir, settings, *, redo=False, choose_afresh=False):
        # Sticky, as the real one: it does not follow the table once it stands.
        workdir.reference_choice.parent.mkdir(parents=True, exist_ok=True)
        workdir.reference_choice.write_text('{"image": "reference.drc.fits"}')
        return campaign.step(
            workdir,
            "reference_image",
            workdir.target,
            {"target": workdir.target},
            redo or choose_afresh,
        )

    def stacks(workdir, settings, *, redo=False):
        inputs = {
            name: campaign.digest(workdir, name, workdir.target)
            for name in ("target_exposures", "target_alignment")
        }
        return campaign.step(workdir, "drizzled_stacks", workdir.target, inputs, redo)

    def differences(workdir, settings, *, redo=False):
        inputs = {"stacks": campaign.digest(workdir, "drizzled_stacks", workdir.target)}
        used = settings.difference.as_recipe()
        return campaign.step(workdir, "epoch_differences", workdir.target, inputs, redo, used)

    return {
        "hst_assets.exposures.table.make_raw_manifest": raw,
        "hst_assets.exposures.table.make_visit_table": after("exposure_table", ["raw_exposures"]),
        "hst_assets.exposures.table.make_target_table": gathered(
            "target_exposures", "exposure_table"
        ),
        "hst_assets.astrometry.reference.image.make_reference": reference,
        "hst_assets.astrometry.alignment.make_aligned_visit": aligned,
        "hst_assets.astrometry.alignment.make_target_alignment": gathered(
            "target_alignment", "aligned_exposures"
        ),
        "hst_assets.imaging.drizzling.make_visit_drizzles": after(
            "epoch_drizzles", ["aligned_exposures"]
        ),
        "hst_assets.imaging.drizzling.make_stacks": stacks,
        "hst_assets.imaging.differences.batch.make_differences": differences,
    }


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    """An empty root whose science steps are instant."""
    campaign = Campaign(tmp_path / "root")
    for name, function in _science(campaign).items():
        monkeypatch.setattr(name, function)
    return campaign


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def defs(campaign):
    return build_defs(root=str(campaign.root))


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

"""Roots with many visits, as the commands leave them, without pixels: for `scale.py`.

Ledger and settings are written by the functions of the commands, and so are the first visit's
manifest and table, from an exposure of a few pixels; those of the other visits are copies with
other names, sums and digests. Of the levels behind them each product is a line of text with a
record that names the digests of its inputs. The instance holds the keys; what runs would have left
in it is written by `cloned_runs.py`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import dagster as dg

from hst_assets.astrometry.reference.frame import settings_digest, write_note
from hst_assets.exposures import table as exposure_tables
from hst_assets.exposures.header import read_exposure
from hst_assets.exposures.raw import RawFile, raw_ledger, visits_in, write_ledger
from hst_assets.orchestration.asset_row import AssetRow
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.partition_keys import register
from hst_assets.orchestration.target_roots import claim
from hst_assets.provenance import Recipe, Result, digest_of, make, read_record, sha256_of_file
from hst_assets.provenance.record import FileStamp, Record, write_record
from hst_assets.settings import load_settings, write_settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.stand_ins.tiny_exposures import tiny_exposure

__all__ = ["add_exposure", "digests_of", "many_targets", "one_target", "products_of"]

_POSITION = (10.0, 20.0)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_FACTS = {"n_products": 1, "not_checked": [], "n_exposures": 1, "n_used": 1, "refusals": []}
#: Made by their own functions.
_REAL = ("raw_exposures", "exposure_table")


def many_targets(
    root: Path, instance: dg.DagsterInstance, n_targets: int, n_visits: int
) -> list[WorkDir]:
    """Targets that are copies of one another, under the names t000, t001 and so on."""
    first = one_target(root, instance, "t000", n_visits)
    made = [first]
    for number in range(1, n_targets):
        workdir = WorkDir(root, f"t{number:03d}")
        shutil.copytree(first.base, workdir.base)
        _announce(instance, workdir, [_visit(each) for each in range(n_visits)])
        made.append(workdir)
    return made


def one_target(root: Path, instance: dg.DagsterInstance, name: str, n_visits: int) -> WorkDir:
    """A target with all products that settings without photometry want."""
    workdir = WorkDir(root, name).create()
    write_settings(workdir, {"target": {"ra_deg": _POSITION[0], "dec_deg": _POSITION[1]}})
    visits = [_visit(number) for number in range(n_visits)]
    write_ledger(workdir, [_raw_file(workdir, visit) for visit in visits])
    first = visits[0]
    with patch.object(exposure_tables, "read_exposure", _HeadersOfOne(workdir.root)):
        for level in ASSETS.levels:
            rows = [row for row in products_of(workdir) if row.name in level.assets]
            for row in rows:
                _make(row, workdir, first if level.by_visit else None, visits)
            if level.by_visit:
                copies = _Copies(workdir, first)
                for visit in visits[1:]:
                    copies.make(rows, visit)
    _announce(instance, workdir, visits)
    return workdir


def add_exposure(workdir: WorkDir, visit: str) -> None:
    """One more exposure of a visit, verified and in the ledger."""
    write_ledger(workdir, [*raw_ledger(workdir), _raw_file(workdir, visit, exposure=1)])


def products_of(workdir: WorkDir) -> list[AssetRow]:
    """The rows that the settings want, without what the archive answers, upstream first."""
    settings = load_settings(workdir)
    return [
        row
        for row in ASSETS
        if row.path
        and row.source != "archive"
        and ASSETS.is_wanted(ASSETS.level_of(row.name), settings)
    ]


def _visit(number: int) -> str:
    first, rest = divmod(number, 36**2)
    return f"iaa{_DIGITS[10 + first]}{_DIGITS[rest // 36]}{_DIGITS[rest % 36]}"


class _HeadersOfOne:
    """Reads one exposure; all others have its headers, and their names."""

    def __init__(self, folder: Path) -> None:
        ((name, content),) = tiny_exposure("iaaa00a0q", "wfc3_uvis", *_POSITION).items()
        path = folder / name
        path.write_bytes(content)
        self._template = read_exposure(path, None)
        path.unlink()

    def __call__(self, path: Path, _companion: Path | None = None):
        return replace(self._template, path=path, rootname=path.name.partition("_")[0])


class _Copies:
    """Products of further visits: those of the first, with other names, sums and digests."""

    def __init__(self, workdir: WorkDir, first: str) -> None:
        self._workdir, self._first = workdir, first
        self._sums = {file.visit: file.sha256 for file in raw_ledger(workdir)}
        self._read: dict[str, tuple[str, str]] = {}

    def make(self, rows: list[AssetRow], visit: str) -> None:
        """Write the products of a visit with their records, upstream first."""
        changes = {self._first: visit, self._sums[self._first]: self._sums[visit]}
        for row in rows:
            product = row.product(self._workdir, visit)
            text, told = (self._changed(each, changes) for each in self._of_first(row))
            product.write_text(text)
            content = json.loads(told)
            was, content["digest"] = content["digest"], digest_of(content["recipe"])
            changes[was] = content["digest"]
            content["outputs"] = {self._workdir.relative(product): FileStamp.of(product)}
            write_record(Record.model_validate(content), product)

    def _of_first(self, row: AssetRow) -> tuple[str, str]:
        if row.name not in self._read:
            path = row.product(self._workdir, self._first)
            self._read[row.name] = path.read_text(), WorkDir.record(path).read_text()
        return self._read[row.name]

    @staticmethod
    def _changed(text: str, changes: dict[str, str]) -> str:
        for was, now in changes.items():
            text = text.replace(was, now)
        return text


def _raw_file(workdir: WorkDir, visit: str, exposure: int = 0) -> RawFile:
    rootname = f"{visit}a{exposure}q"
    path = workdir.raw / f"{rootname}_flc.fits"
    path.write_text(path.name)
    status = path.stat()
    stamp = (status.st_size, status.st_mtime_ns, sha256_of_file(path))
    return RawFile(path.name, rootname, visit, "flc", *stamp)


def _make(row: AssetRow, workdir: WorkDir, visit: str | None, visits: list[str]) -> None:
    if row.name in _REAL:
        row.maker()(workdir, visit, load_settings(workdir))
        return
    if row.name == "reference_image":
        exposures = {f"{visits[0]}a0q_flc.fits": [visits[0], 400.0]}
        choice = {"detector_key": "wfc3_uvis", "filter": "F606W", "epoch": 1}
        note = {
            "image": "wfc3_uvis.f606w.ref_0001.drc.fits",
            "user": False,
            "settings": settings_digest(load_settings(workdir)),
            "choice": {**choice, "exposures": exposures},
            "inputs": {},
        }
        write_note(workdir, note)
    product = row.product(workdir, visit)

    def run() -> Result:
        product.parent.mkdir(parents=True, exist_ok=True)
        product.write_text(_content(row, workdir, visits))
        return Result((product,), dict(_FACTS))

    make(Recipe(row.name, inputs=dict(_inputs(row, workdir, visit, visits))), product, workdir, run)


def _content(row: AssetRow, workdir: WorkDir, visits: list[str]) -> str:
    """A line; of the target's table of exposures, the rows of its visits."""
    if row.name != "target_exposures":
        return f"{row.name}\n"
    texts = [workdir.visit_exposures(visit).read_text() for visit in visits]
    lines = [text.splitlines(keepends=True)[-1].replace(" -1 ", " 1 ", 1) for text in texts]
    return texts[0].rpartition("\n" + lines[0].partition(" ")[0])[0] + "\n" + "".join(lines)


def _inputs(
    row: AssetRow, workdir: WorkDir, visit: str | None, visits: list[str]
) -> Iterator[tuple[str, str]]:
    names = [ASSETS[name].scatters or name for name in row.after]
    for name in (*names, *row.follows):
        upstream = ASSETS[name]
        record = read_record(upstream.product(workdir, visit if upstream.by_visit else None))
        if record is not None:
            yield name, record.digest
    for each in visits if row.gathers else ():
        record = read_record(ASSETS[row.gathers or ""].product(workdir, each))
        if record is not None:
            yield each, record.digest


def _announce(instance: dg.DagsterInstance, workdir: WorkDir, visits: list[str]) -> None:
    """Register a target and its visits."""
    claim(instance, workdir)
    register(instance, workdir.target, visits)


def digests_of(workdir: WorkDir) -> Iterator[tuple[str, str, str]]:
    """Asset, partition and data version of each product of a target."""
    visits = visits_in(workdir)
    for row in products_of(workdir):
        for visit in visits if row.by_visit else [None]:
            record = read_record(row.product(workdir, visit))
            key = f"{workdir.target}/{visit}" if visit else workdir.target
            yield row.name, key, record.digest if record else ""

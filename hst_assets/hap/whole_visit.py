"""A visit whose products are all made in one run: its pieces in order, and their results."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from astropy.table import Table

from hst_assets.failures import (
    HstAssetsError,
    ToolFailed,
    UnusableInput,
)
from hst_assets.hap import pieces
from hst_assets.hap.listed import FITTED, listed_exposures
from hst_assets.hap.piece_runs import (
    Left,
    Piece,
    VisitFolder,
    joined_logs,
    outcomes_of,
    run_pieces,
)
from hst_assets.hap.pieces import CATALOG_KINDS
from hst_assets.hap.poller import PollerRow, poller_text
from hst_assets.hap.product_tree import FilterNode, TotalNode, VisitTree, check_planned, visit_tree
from hst_assets.hap.quality.hla_comparison import COMPARISON, compare_with_hla
from hst_assets.hap.result import HapResult, ReturnCode
from hst_assets.hap.switches import wants_catalogs, wants_quality
from hst_assets.settings import HapSettings, MachineSettings

__all__ = ["WholeVisit"]

logger = logging.getLogger(__name__)

_GIVEN = "given-parameters.json"
_NEW = "new-parameters.json"


@dataclass
class WholeVisit:
    """A visit while it is made."""

    rows: tuple[PollerRow, ...]
    work: VisitFolder
    settings: HapSettings
    machine: MachineSettings
    environ: Mapping[str, str]
    code: ReturnCode = ReturnCode.DONE
    failure: HstAssetsError | None = None
    wcs: dict[str, str] = field(default_factory=dict)
    catalogs: dict[str, int] = field(default_factory=dict)
    emptied: list[str] = field(default_factory=list)
    without_psf: list[str] = field(default_factory=list)
    rejected: dict[str, str] = field(default_factory=dict)
    quality: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    manifest: list[str] = field(default_factory=list)

    def result(self, products: tuple[Path, ...]) -> HapResult:
        """What came of it, with the files that were left."""
        return HapResult(
            self.code,
            products,
            self.wcs,
            self.catalogs,
            tuple(self.emptied),
            tuple(self.without_psf),
            self.rejected,
            self.quality,
            self.failure,
            self.notes,
        )

    def make(self, new_parameters_file: Path | None) -> None:
        """Run all pieces, and write the trailers and the manifest."""
        tree = self._planned(new_parameters_file)
        if tree is None:
            self.code = ReturnCode.NOTHING_TO_PROCESS
            first = self.rows[0]
            manifest = f"{first.instrument}_{first.file[1:4]}_{first.file[4:6]}_manifest.txt"
            (self.work.files / manifest.lower()).write_text("")
            return
        if not tree.has_direct_exposures:
            self.code = ReturnCode.NOTHING_TO_PROCESS
            (self.work.files / tree.manifest_file).write_text("")
            return
        totals = dict(enumerate(tree.totals))
        copies = self._aligned({key: each for key, each in totals.items() if each.exposures})
        drizzled = {key: each for key, each in totals.items() if each.drizzled_filters}
        self._drizzled(drizzled)
        with_catalogs = {
            key: each
            for key, each in drizzled.items()
            if wants_catalogs(each.detector, self.environ)
        }
        self._cataloged(with_catalogs)
        if self.settings.quality or wants_quality(self.environ):
            arguments = {"log_level": self._log_level}
            piece = pieces.quality_piece(drizzled, list(self.catalogs), arguments)
            (self.quality,) = self._run([piece])
            self.quality[COMPARISON] = self._compared_with_hla()
        for total in totals.values():
            if not total.exposures:
                self.manifest.append(total.trailer_file)
        for total in totals.values():
            self._append_logs(total.trailer_file)
        for name in copies:
            self._append_logs(name)
        text = "".join(f"{name}\n" for name in self.manifest)
        (self.work.files / tree.manifest_file).write_text(text)

    def _compared_with_hla(self) -> str:
        try:
            return compare_with_hla(
                self.work.files,
                environ=self.environ,
                local=self.work.root.parent,
                machine=self.machine,
                log_level=self._log_level,
                log_path=self.work.log("legacy-archive"),
            ).told
        except ToolFailed as error:  # a comparison with something else costs no product
            return f"not checked: {error.brief}"

    @property
    def _log_level(self) -> int:
        return logging.getLevelNamesMapping()[self.settings.log_level.upper()]

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "log_level": self._log_level,
            "photometry": self.settings.photometry,
            "diagnostic_mode": self.settings.diagnostic_mode,
        }

    def _run(self, made: Sequence[Piece]) -> list[dict[str, Any]]:
        for piece in made:
            logger.info("%s", piece.label)
        return run_pieces(made, self.work, self.machine)

    def _run_with_headers(self, made: Sequence[Piece], headers: Sequence[Piece]) -> None:
        """Run pieces side by side; the run has a code for headers that fail."""
        for piece in (*made, *headers):
            logger.info("%s", piece.label)
        outcomes = outcomes_of([*made, *headers], self.work, self.machine)
        for position, outcome in enumerate(outcomes):
            if isinstance(outcome, Left):
                continue
            if position >= len(made) and isinstance(outcome, ToolFailed):
                self.code = ReturnCode.HEADERS_FAILED
            raise outcome

    def _planned(self, new: Path | None) -> VisitTree | None:
        files = self.work.files
        given = self.settings.parameters_file
        if given is not None:
            (files / _GIVEN).symlink_to(given.absolute())
        is_extended = new is not None and new.is_file()
        if new is not None and is_extended:
            shutil.copyfile(new, files / _NEW)
        arguments = {
            "poller": poller_text(self.rows),
            "log_level": self._log_level,
            "use_defaults": self.settings.parameters_section == "default_values",
            "parameters_file": None if given is None else _GIVEN,
            "new_parameters_file": None if new is None else _NEW,
        }
        piece = pieces.plan_piece(
            [row.file for row in self.rows], arguments, is_extended=is_extended
        )
        (planned,) = self._run([piece])
        self.rejected = planned["rejected"]
        if not planned["drizzled"] and len(self.rejected) == len(self.rows):
            return None
        if new is not None:
            shutil.move(files / _NEW, new)
        taken = [row for row in self.rows if row.file not in self.rejected]
        tree = visit_tree(listed_exposures(taken, files))
        check_planned(tree, planned)
        return tree

    def _aligned(self, totals: Mapping[int, TotalNode]) -> list[str]:
        """Align; return the trailers of exposures that are aligned and no more."""
        arguments = {
            "log_level": self._log_level,
            "diagnostic_mode": self.settings.diagnostic_mode,
        }
        told = self._run([pieces.align_piece(key, each, arguments) for key, each in totals.items()])
        trailers = []
        for total, each in zip(totals.values(), told, strict=True):
            self.wcs |= each["wcs"]
            if each["outage"]:
                self.notes[total.detector] = each["outage"]
            beside = [*each["aligned_only"], *each["dispersed"]]
            self.manifest += [*each["headerlets"], *beside]
            trailers += [name for name in beside if name.endswith("_trl.txt")]
        not_fitted = [name for name, wcs in self.wcs.items() if FITTED not in wcs]
        if not_fitted and not self.settings.accept_a_priori_wcs:
            raise UnusableInput(
                "not aligned to Gaia",
                where=", ".join(not_fitted),
                next_step="Accept the WCS that they came with (accept_a_priori_wcs; leave "
                "--aligned-only out), or see whether $ASTROMETRIC_CATALOG_URL has stars there",
            )
        return trailers

    def _drizzled(self, totals: Mapping[int, TotalNode]) -> None:
        self._run(
            [piece for key, each in totals.items() for piece in pieces.filter_pieces(key, each)]
        )
        # What takes longest begins first.
        self._run_with_headers(
            [pieces.total_piece(key, each) for key, each in totals.items()],
            [piece for key, each in totals.items() for piece in pieces.header_pieces(key, each)],
        )
        self._run_with_headers([], [pieces.header_piece(key, each) for key, each in totals.items()])
        for total in totals.values():
            for each in total.drizzled_filters:
                self.manifest += [each.drizzled_file, each.trailer_file]
                for one in each.exposures:
                    self.manifest += [one.drizzled_file, one.exposure_file, one.trailer_file]
            self.manifest += [total.drizzled_file, total.trailer_file]

    def _cataloged(self, totals: Mapping[int, TotalNode]) -> None:
        options = self._options
        detected = self._run(
            [pieces.detect_piece(key, each, options) for key, each in totals.items()]
        )
        self.without_psf = [
            each.detector
            for each, told in zip(totals.values(), detected, strict=True)
            if told["complaint"]
        ]
        self._run(
            [
                piece
                for key, each in totals.items()
                for piece in pieces.measure_pieces(key, each, options)
            ]
        )
        combined = self._run(
            [pieces.combine_piece(key, each, options) for key, each in totals.items()]
        )
        for total, told in zip(totals.values(), combined, strict=True):
            if told["emptied"]:
                self.emptied.append(total.detector)
            nodes: list[FilterNode | TotalNode] = [*total.drizzled_filters, total]
            for node in nodes:
                for kind in CATALOG_KINDS[self.settings.photometry]:
                    name = node.catalog_file(kind)
                    self.manifest.append(name)
                    self.catalogs[name] = len(Table.read(self.work.files / name))

    def _append_logs(self, trailer: str) -> None:
        """Add what all pieces said to a trailer file."""
        with (self.work.files / trailer).open("a", encoding="utf-8") as file:
            file.write(joined_logs(sorted(self.work.logs.glob("*.txt"))))

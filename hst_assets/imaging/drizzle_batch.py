"""Making the products that do not stand yet: each recipe is drizzled once, then linked."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hst_assets.failures import HstAssetsError, MissingProduct
from hst_assets.imaging.astrodrizzle.run import DrizzleReport, DrizzleRequest, drizzle_many
from hst_assets.imaging.frames import Frame, exposure_outlines, frame_of_target
from hst_assets.imaging.plan import STAGE, Product, scale_of
from hst_assets.provenance import Made, Recipe, Record, Result, make, read_record
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir, write_atomically

__all__ = ["Failure", "make_products", "remove_stale"]

logger = logging.getLogger(__name__)

_RECORD_ENDING = WorkDir.record(Path("x")).name.removeprefix("x")


@dataclass(frozen=True)
class Failure:
    """Why a product does not stand."""

    kind: str
    reason: str


def make_products(
    products: Sequence[Product], workdir: WorkDir, settings: Settings, *, redo: bool
) -> list[Record | Failure]:
    """Make what does not stand: drizzle each recipe once, link it to its other names.

    Raises
    ------
    HstAssetsError
        The first failure, if no product stands in the end.
    """
    standing: dict[Path, Record] = {}
    for product in products:
        record = None if redo else _standing(product.path, product.recipe, workdir)
        if record is not None:
            standing[product.path] = record
    made = {record.digest: path for path, record in standing.items()}
    wanted = [product for product in products if product.path not in standing]
    for digest, path in _elsewhere(wanted, workdir):
        made.setdefault(digest, path)
    failures = _drizzle_new(wanted, made, standing, workdir, settings)
    for product in wanted:
        digest = product.recipe.digest
        if product.path not in standing and digest in made:
            standing[product.path] = _link(product, made[digest], workdir).record
    if not standing:
        raise next(iter(failures.values()))
    return [
        standing.get(product.path) or _failure(product, failures[product.recipe.digest])
        for product in products
    ]


def _standing(path: Path, recipe: Recipe, workdir: WorkDir) -> Record | None:
    record = read_record(path)
    stands = record and record.digest == recipe.digest and record.whole(workdir)
    return record if stands else None


def _elsewhere(wanted: Sequence[Product], workdir: WorkDir) -> Iterable[tuple[str, Path]]:
    """Products of visits that are what a stack is to be."""
    digests = {product.recipe.digest for product in wanted}
    own = {product.path for product in wanted}
    for note in sorted(workdir.workspace.glob(f"*.drc.fits{_RECORD_ENDING}")):
        path = note.with_name(note.name.removesuffix(_RECORD_ENDING))
        record = read_record(path)
        if path not in own and record and record.digest in digests and record.whole(workdir):
            yield record.digest, path


def _drizzle_new(
    wanted: Sequence[Product],
    made: dict[str, Path],
    standing: dict[Path, Record],
    workdir: WorkDir,
    settings: Settings,
) -> dict[str, HstAssetsError]:
    """Drizzle each recipe that nothing stands for; return failures by recipe."""
    first: dict[str, Product] = {}
    for product in wanted:
        if product.recipe.digest not in made:
            first.setdefault(product.recipe.digest, product)
    failures: dict[str, HstAssetsError] = {}
    requests: dict[str, DrizzleRequest] = {}
    for digest, product in first.items():
        try:
            requests[digest] = _request(product, workdir, settings)
        except HstAssetsError as error:
            failures[digest] = error
        except OSError as error:
            failures[digest] = MissingProduct(str(error), where=product.label)
    for digest in requests:
        # What stands under the name from now on is not what the old record says.
        WorkDir.record(first[digest].path).unlink(missing_ok=True)
    reports = drizzle_many(list(requests.values()), workdir=workdir, machine=settings.machine)
    for (digest, request), report in zip(requests.items(), reports, strict=True):
        if isinstance(report, HstAssetsError):
            failures[digest] = report
            continue
        product = first[digest]
        result = Result((product.path, WorkDir.preview(product.path)), _figures(report, request))
        standing[product.path] = _recorded(product, result, workdir).record
        made[digest] = product.path
    return failures


def _request(product: Product, workdir: WorkDir, settings: Settings) -> DrizzleRequest:
    paths = [workdir.aligned(exposure.file) for exposure in product.exposures]
    others = [workdir.aligned(other.file) for other in product.others]
    for path in (*paths, *others):
        if not path.is_file():
            raise MissingProduct(
                "the aligned exposure is missing",
                where=path,
                next_step="Align its visit again",
            )
    return DrizzleRequest(
        exposures=paths,
        output=product.path,
        detector=product.detector,
        frame=_frame(product, paths, settings),
        settings=settings.drizzle,
        label=product.label,
        cards={"RECIPE": product.recipe.digest},
        others=others,
    )


def _frame(product: Product, paths: Sequence[Path], settings: Settings) -> Frame:
    return frame_of_target(
        [outline for path in paths for outline in exposure_outlines(path)],
        settings,
        scale_arcsec=scale_of(product.detector, settings.drizzle),
        orientation_deg=product.orientation_deg,
    )


def _figures(report: DrizzleReport, request: DrizzleRequest) -> dict[str, Any]:
    """The facts recorded beside a product."""
    figures = report.as_json()
    for name in ("product", "problems", "seconds"):
        del figures[name]
    figures = {
        key: list(value) if isinstance(value, tuple) else value for key, value in figures.items()
    }
    return {**figures, **request.frame.as_json()}


def _recorded(product: Product, result: Result, workdir: WorkDir) -> Made:
    return make(product.recipe, product.path, workdir, lambda: result, redo=True)


def _link(product: Product, source: Path, workdir: WorkDir) -> Made:
    """Give a product that stands one more name; on file systems without hard links, copy it."""
    record = read_record(source)
    if record is None:
        raise MissingProduct("the record of the product to be linked is missing", where=source)
    WorkDir.record(product.path).unlink(missing_ok=True)
    for end in (WorkDir.preview, _itself):
        with write_atomically(end(product.path)) as part:
            try:
                os.link(end(source), part)
            except OSError:
                shutil.copyfile(end(source), part)
    facts = {**record.facts, "same_as": workdir.relative(source)}
    result = Result((product.path, WorkDir.preview(product.path)), facts)
    return _recorded(product, result, workdir)


def _itself(path: Path) -> Path:
    return path


def _failure(product: Product, error: HstAssetsError) -> Failure:
    """Take what stood under the name away: it is not what the name says any more.

    It stays, with its record, where only an exposure is not there: working copies that were
    cleaned away cost no finished image.
    """
    if not isinstance(error, MissingProduct):
        for path in (WorkDir.record(product.path), WorkDir.preview(product.path), product.path):
            path.unlink(missing_ok=True)
    return Failure(type(error).__name__, str(error).partition("; its last lines")[0])


def remove_stale(folder: Path, pattern: str, current: set[Path], *, stage: str = STAGE) -> None:
    """Delete products of a stage, by their records, that are no longer to stand."""
    for path in sorted(folder.glob(pattern)):
        record = None if path in current else read_record(path)
        if record is None or record.recipe.get("stage") != stage:
            continue
        logger.info("%s is no longer a product of this target: removed", path.name)
        for old in (WorkDir.record(path), WorkDir.preview(path), path):
            old.unlink(missing_ok=True)

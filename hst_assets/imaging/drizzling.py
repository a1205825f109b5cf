"""Which products a visit and a target have, and making those that do not stand yet.

A visit has one drizzled image for each detector and filter; a target has one for each band and
epoch, and one for each band over all epochs. All of them come from `_make_products`, so that
equal exposures combined in the same way are drizzled once, whatever the products are called.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Column, QTable
from astropy.time import Time

from hst_assets.detectors import DETECTORS, Detector
from hst_assets.exposures.table import read_table
from hst_assets.failures import HstAssetsError, MissingProduct, UnusableInput
from hst_assets.imaging.astrodrizzle import (
    CODE_VERSION,
    TOOLS,
    DrizzleReport,
    DrizzleRequest,
    drizzle_many,
    parameters,
)
from hst_assets.imaging.frames import Frame, covering_frame, exposure_outlines, shared_tangent_point
from hst_assets.imaging.products import judge
from hst_assets.provenance import Made, Recipe, Record, Result, make, read_record
from hst_assets.settings import DrizzleSettings, Settings
from hst_assets.workdir import WorkDir, write_atomically

__all__ = ["make_stacks", "make_visit_drizzles"]

logger = logging.getLogger(__name__)

#: Stage name in the record beside each drizzled image of this module.
STAGE = "drizzled_image"
#: Failures that may go away by themselves: tried again the next time.
_RETRIED = {"MissingProduct", "OutOfMemory", "TransientFailure"}
_DAY_FORMAT = "%y%m%d"


@dataclass(frozen=True)
class _Exposure:
    """One aligned exposure that goes into products."""

    rootname: str
    file: str
    detector_key: str
    filter: str
    exptime_s: float
    mjd_start: float
    epoch: int
    digest: str

    @property
    def band(self) -> str:
        return DETECTORS[self.detector_key].band(self.filter)


@dataclass(frozen=True)
class _Product:
    """One drizzled image that is to stand.

    `epoch` is 0 for a visit's product and for the stack of all epochs.
    """

    path: Path
    band: str
    epoch: int
    exposures: tuple[_Exposure, ...]
    recipe: Recipe
    label: str

    @property
    def detector(self) -> Detector:
        return DETECTORS[self.exposures[0].detector_key]


@dataclass(frozen=True)
class _Failure:
    """Why a product does not stand."""

    kind: str
    reason: str


# ------------------------------------------------------------------------------ entry points


def make_visit_drizzles(
    workdir: WorkDir, visit: str, settings: Settings, *, redo: bool = False
) -> Made:
    """Drizzle the aligned exposures of a visit, one product for each detector and filter.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; the visit's exposure table and alignment must stand.
    visit : str
        The visit.
    settings : Settings
        Sections drizzle, target and machine.
    redo : bool, optional
        Drizzle again what stands.

    Returns
    -------
    Made
        Product: the index ``workspace/<visit>_drizzles.ecsv``. A band that fails has a row with
        its reason; the others stand.

    Raises
    ------
    MissingProduct
        If a table is not there.
    UnusableInput
        If the visit has no exposure to drizzle.
    HstAssetsError
        What ended the products, if not a single one could be made.
    """
    exposures = _aligned_exposures(workdir, read_table(workdir.visit_exposures(visit)), [visit])
    if not exposures:
        raise UnusableInput(
            f"visit {visit} has no exposure to drizzle",
            where=workdir.visit_alignment(visit),
            next_step="See the columns 'used' and 'reason' there, or set "
            "alignment.on_failure = 'keep_a_priori'",
        )
    products = [
        _product(workdir.visit_drizzle(visit, band), f"{visit}.{band}", members, settings)
        for band, members in _grouped(exposures, lambda exposure: exposure.band).items()
    ]
    return _make_index(
        "epoch_drizzles",
        workdir.visit_products(visit),
        products,
        workdir,
        settings,
        stale_pattern=(workdir.workspace, f"{visit}.*.drc.fits"),
        redo=redo,
    )


def make_stacks(workdir: WorkDir, settings: Settings, *, redo: bool = False) -> Made:
    """Drizzle a target's stacks: one for each band and epoch, and one for each band.

    A stack of the same exposures as another product (an epoch that one visit saw whole, a band
    with a single epoch) is a hard link to it, under its own name.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its exposure table and the alignments of its visits must stand.
    settings : Settings
        Sections drizzle, target and machine.
    redo : bool, optional
        Make again what stands.

    Returns
    -------
    Made
        Product: the index ``drizzle/stacks.ecsv``.

    Raises
    ------
    MissingProduct
        If the target's table is not there.
    UnusableInput
        If no exposure is left to drizzle.
    HstAssetsError
        What ended the products, if not a single one could be made.
    """
    table = read_table(workdir.target_exposures)
    visits = sorted({str(visit) for visit in table["visit"]})
    exposures = _aligned_exposures(workdir, table, visits)
    if not exposures:
        raise UnusableInput(
            f"no exposure of {workdir.target} is aligned and in use",
            where=workdir.target_exposures,
            next_step="Align its visits first; the alignment tables tell what was left out",
        )
    name = settings.drizzle.object_name
    products = []
    for band, members in _grouped(exposures, lambda exposure: exposure.band).items():
        for epoch, sharing in _grouped(members, lambda exposure: exposure.epoch).items():
            start = min(exposure.mjd_start for exposure in sharing)
            day = Time(start, format="mjd", scale="utc").strftime(_DAY_FORMAT)
            path = workdir.epoch_stack(band, day, epoch, name)
            products.append(_product(path, f"{band}.{epoch:04d}", sharing, settings, epoch=epoch))
        path = workdir.filter_stack(band, name)
        products.append(_product(path, f"{band}.all", members, settings))
    return _make_index(
        "drizzled_stacks",
        workdir.stack_products,
        products,
        workdir,
        settings,
        stale_pattern=(workdir.drizzle, "*.drc.fits"),
        redo=redo,
    )


# -------------------------------------------------------------------------- what is to stand


def _aligned_exposures(workdir: WorkDir, table: QTable, visits: Sequence[str]) -> list[_Exposure]:
    """The exposures that are in use and whose alignment lets them into products."""
    digests: dict[str, str] = {}
    for visit in visits:
        path = workdir.visit_alignment(visit)
        if not path.is_file():
            if len(visits) == 1:
                raise MissingProduct(
                    f"visit {visit} is not aligned", where=path, next_step="Align it first"
                )
            logger.warning("visit %s is not aligned: left out of the stacks", visit)
            continue
        alignment = read_table(path)
        for row in alignment[np.asarray(alignment["used"], dtype=bool)]:
            digests[str(row["rootname"])] = str(row["digest"])
    return [
        _Exposure(
            rootname=str(row["rootname"]),
            file=str(row["file"]),
            detector_key=str(row["detector_key"]),
            filter=str(row["filter"]),
            exptime_s=float(row["exptime"].to_value(u.s)),
            mjd_start=float(row["mjd_start"].to_value(u.day)),
            epoch=int(row["epoch"]),
            digest=digests[str(row["rootname"])],
        )
        for row in table[np.asarray(table["used"], dtype=bool)]
        if str(row["rootname"]) in digests
    ]


def _grouped(exposures: Iterable[_Exposure], key: Any) -> dict[Any, list[_Exposure]]:
    """Exposures by key, keys sorted, exposures in time order."""
    groups: dict[Any, list[_Exposure]] = {}
    for exposure in sorted(exposures, key=lambda item: (item.mjd_start, item.rootname)):
        groups.setdefault(key(exposure), []).append(exposure)
    return {name: groups[name] for name in sorted(groups)}


def _product(
    path: Path, label: str, exposures: Sequence[_Exposure], settings: Settings, *, epoch: int = 0
) -> _Product:
    detector = DETECTORS[exposures[0].detector_key]
    recipe = Recipe(
        stage=STAGE,
        code_version=CODE_VERSION,
        inputs={exposure.rootname: exposure.digest for exposure in exposures},
        settings={
            # The parameters in force, not the settings behind them: spelling out a default
            # changes nothing.
            "parameters": parameters(detector, len(exposures), settings.drizzle),
            "scale_arcsec": _scale(detector, settings.drizzle),
            "size_pix": settings.drizzle.size_pix,
            "object_name": settings.drizzle.object_name,
            "target": settings.target.as_recipe(),
        },
        tools=TOOLS,
    )
    return _Product(path, exposures[0].band, epoch, tuple(exposures), recipe, label)


def _scale(detector: Detector, choices: DrizzleSettings) -> float:
    return choices.scale_arcsec or detector.drizzle_scale_arcsec


# ------------------------------------------------------------------------------- the index


def _make_index(
    stage: str,
    index: Path,
    products: Sequence[_Product],
    workdir: WorkDir,
    settings: Settings,
    *,
    stale_pattern: tuple[Path, str],
    redo: bool,
) -> Made:
    """Make the products and the table that lists them."""
    recipe = Recipe(
        stage=stage,
        code_version="1",
        inputs={product.path.name: product.recipe.digest for product in products},
        settings={
            "max_bad_fraction": settings.drizzle.max_bad_fraction,
            "max_flux_error": settings.drizzle.max_flux_error,
            "epochs": {product.path.name: product.epoch for product in products},
        },
    )

    def run() -> Result:
        outcomes = _make_products(products, workdir, settings, redo=redo)
        _remove_stale(*stale_pattern, {product.path for product in products})
        rows = [
            _row(product, outcome, workdir, settings.drizzle)
            for product, outcome in zip(products, outcomes, strict=True)
        ]
        standing = [
            product
            for product, outcome in zip(products, outcomes, strict=True)
            if isinstance(outcome, Record)
        ]
        _write_index(rows, index, workdir)
        previews = [WorkDir.preview(product.path) for product in standing]
        outputs = (index, *(product.path for product in standing), *previews)
        return Result(outputs, _facts(rows, previews, products, workdir))

    return make(recipe, index, workdir, run, redo=redo or _to_be_retried(index))


def _to_be_retried(index: Path) -> bool:
    """Whether the last time something failed that may work now."""
    record = read_record(index)
    kinds = set(record.facts.get("failure_kinds", [])) if record else set()
    return bool(kinds & _RETRIED)


def _row(
    product: _Product, outcome: Record | _Failure, workdir: WorkDir, choices: DrizzleSettings
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "file": "",
        "band": product.band,
        "epoch": product.epoch,
        "status": "FAIL",
        "reason": "",
        "kind": "",
        "n_exposures": len(product.exposures),
        "digest": product.recipe.digest,
        "problems": "",
        "same_as": "",
    }
    if isinstance(outcome, _Failure):
        return {**row, "reason": outcome.reason, "kind": outcome.kind}
    facts = outcome.facts
    problems = [*facts["complaints"], *judge(facts["bad_fraction"], facts["flux_ratio"], choices)]
    return {
        **row,
        **{name: facts.get(name) for name, _, _, _ in _NUMBERS},
        "n_exposures": len(facts["inputs"]),
        "file": workdir.relative(product.path),
        "status": "PROBLEM" if problems else "OK",
        "problems": "; ".join(problems),
        "same_as": facts.get("same_as", ""),
    }


_TEXTS = (
    ("file", "Product, relative to the work directory; empty if it failed"),
    ("band", "Detector and filter"),
    ("status", "OK, PROBLEM (a check failed; the product stands) or FAIL"),
    ("reason", "Why it failed"),
    ("problems", "Which checks failed"),
    ("same_as", "Product of the same exposures, of which this one is a link"),
    ("digest", "Digest of the recipe"),
)
_COUNTS = (
    ("epoch", "Number of the epoch; 0: of a visit, or all epochs"),
    ("n_exposures", "Exposures combined"),
)
_NUMBERS: tuple[tuple[str, str, Any, str], ...] = (
    ("exptime_s", "exptime", u.s, "Total exposure time"),
    ("mjd_start", "mjd_start", u.day, "Start of the first exposure, MJD UTC"),
    ("mjd_end", "mjd_end", u.day, "End of the last exposure, MJD UTC"),
    ("ra_deg", "ra", u.deg, "Right ascension of the tangent point"),
    ("dec_deg", "dec", u.deg, "Declination of the tangent point"),
    ("scale_arcsec", "scale", u.arcsec, "Pixel scale"),
    ("nx", "nx", u.pix, "Width"),
    ("ny", "ny", u.pix, "Height"),
    ("sky_per_s", "sky", None, "Mean sky subtracted: native units per second and native pixel"),
    ("cosmic_ray_fraction", "cosmic_rays", None, "Share of native pixels rejected as cosmic rays"),
    ("bad_fraction", "bad_fraction", None, "Share of the footprint without weight or value"),
    ("flux_ratio", "flux_ratio", None, "Star fluxes on the product over those on the exposures"),
    ("n_flux_stars", "n_stars", None, "Stars that this ratio is from"),
)


def _write_index(rows: Sequence[Mapping[str, Any]], path: Path, workdir: WorkDir) -> None:
    table = QTable(meta={"target": workdir.target})
    for name, description in _TEXTS[:2]:
        table[name] = Column([row[name] for row in rows], dtype=str, description=description)
    for name, description in _COUNTS:
        table[name] = Column([row[name] for row in rows], dtype=np.int64, description=description)
    for name, column, unit, description in _NUMBERS:
        given = [row.get(name) for row in rows]
        values = np.array([np.nan if value is None else value for value in given], dtype=float)
        table[column] = Column(values) if unit is None else values * unit
        table[column].info.description = description
    for name, description in _TEXTS[2:]:
        table[name] = Column([row[name] for row in rows], dtype=str, description=description)
    with write_atomically(path) as part:
        table.write(part, format="ascii.ecsv", overwrite=True)


def _facts(
    rows: Sequence[Mapping[str, Any]],
    previews: Sequence[Path],
    products: Sequence[_Product],
    workdir: WorkDir,
) -> dict[str, Any]:
    failed = [row for row in rows if row["status"] == "FAIL"]
    rootnames = {item.rootname for product in products for item in product.exposures}
    logs = [workdir.log("drizzle", product.label) for product in products]
    return {
        "n_products": len(rows) - len(failed),
        "n_exposures": len(rootnames),
        "products": [
            {
                "product": Path(row["file"]).name,
                "exposures": row["n_exposures"],
                "exptime_s": row["exptime_s"],
                "scale_arcsec": row["scale_arcsec"],
                "size": f"{row['nx']} x {row['ny']}",
                "sky_per_s": row["sky_per_s"],
                "flux_ratio": row["flux_ratio"],
                "bad_fraction": row["bad_fraction"],
            }
            for row in rows
            if row["status"] != "FAIL"
        ],
        "failed": [f"{_title(row)}: {row['reason']}" for row in failed],
        "failure_kinds": sorted({row["kind"] for row in failed}),
        "problems": [
            f"{Path(row['file']).name}: {row['problems']}" for row in rows if row["problems"]
        ],
        "previews": [workdir.relative(path) for path in previews],
        "log": workdir.relative(logs[0] if len(logs) == 1 else workdir.logs),
    }


def _title(row: Mapping[str, Any]) -> str:
    return f"{row['band']} epoch {row['epoch']}" if row["epoch"] else str(row["band"])


# ---------------------------------------------------------------------------- making products


def _make_products(
    products: Sequence[_Product], workdir: WorkDir, settings: Settings, *, redo: bool
) -> list[Record | _Failure]:
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


def _elsewhere(wanted: Sequence[_Product], workdir: WorkDir) -> Iterable[tuple[str, Path]]:
    """Products of visits that are what a stack is to be."""
    digests = {product.recipe.digest for product in wanted}
    own = {product.path for product in wanted}
    for note in sorted(workdir.workspace.glob(f"*.drc.fits{_RECORD_ENDING}")):
        path = note.with_name(note.name.removesuffix(_RECORD_ENDING))
        record = read_record(path)
        if path not in own and record and record.digest in digests and record.whole(workdir):
            yield record.digest, path


def _drizzle_new(
    wanted: Sequence[_Product],
    made: dict[str, Path],
    standing: dict[Path, Record],
    workdir: WorkDir,
    settings: Settings,
) -> dict[str, HstAssetsError]:
    """Drizzle each recipe that nothing stands for; return failures by recipe."""
    first: dict[str, _Product] = {}
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
    for product in first.values():
        # What stands under the name from now on is not what the old record says.
        WorkDir.record(product.path).unlink(missing_ok=True)
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


def _request(product: _Product, workdir: WorkDir, settings: Settings) -> DrizzleRequest:
    paths = [workdir.aligned(exposure.file) for exposure in product.exposures]
    for path in paths:
        if not path.is_file():
            raise MissingProduct(
                "the aligned exposure is not there",
                where=path,
                next_step="Align its visit again",
            )
    return DrizzleRequest(
        exposures=paths,
        output=product.path,
        detector=product.detector,
        frame=_frame(paths, product.detector, settings),
        settings=settings.drizzle,
        label=product.label,
        cards={"RECIPE": product.recipe.digest},
    )


def _frame(paths: Sequence[Path], detector: Detector, settings: Settings) -> Frame:
    outlines = [exposure_outlines(path) for path in paths]
    ra, dec = settings.target.ra_deg, settings.target.dec_deg
    if ra is None or dec is None:
        ra, dec = shared_tangent_point([outline for chips in outlines for outline in chips])
    return covering_frame(
        outlines,
        ra_deg=ra,
        dec_deg=dec,
        scale_arcsec=_scale(detector, settings.drizzle),
        size_pix=settings.drizzle.size_pix,
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


def _recorded(product: _Product, result: Result, workdir: WorkDir) -> Made:
    return make(product.recipe, product.path, workdir, lambda: result, redo=True)


def _link(product: _Product, source: Path, workdir: WorkDir) -> Made:
    """Give a product that stands one more name; on file systems without hard links, copy it."""
    record = read_record(source)
    if record is None:
        raise MissingProduct("the product to be linked has lost its record", where=source)
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


def _failure(product: _Product, error: HstAssetsError) -> _Failure:
    """Take what stood under the name away: it is not what the name says any more."""
    for path in (product.path, WorkDir.preview(product.path)):
        path.unlink(missing_ok=True)
    return _Failure(type(error).__name__, str(error).partition("; its last lines")[0])


_RECORD_ENDING = WorkDir.record(Path("x")).name.removeprefix("x")


def _remove_stale(folder: Path, pattern: str, current: set[Path]) -> None:
    """Delete products that this module made and that are no longer to stand."""
    for path in sorted(folder.glob(pattern)):
        record = None if path in current else read_record(path)
        if record is None or record.recipe.get("stage") != STAGE:
            continue
        logger.info("%s is no longer a product of this target: removed", path.name)
        for old in (WorkDir.record(path), WorkDir.preview(path), path):
            old.unlink(missing_ok=True)

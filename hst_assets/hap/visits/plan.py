"""The plan of a visit: its poller, the exposures that HAP takes, the products, the parameters.

The poller is written from the exposure table, unless the target's folder has one of the visit
(``wfc3_b46_06_input.out``), which is then taken as it is. No stage depends on the plan as a whole:
the recipe of each names what it uses of it, so that a changed parameter of the catalogues remakes
no image.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from astropy.io import fits
from astropy.table import Table

from hst_assets.digests import digest_of
from hst_assets.failures import BadConfiguration, HstAssetsError, MissingProduct, UnusableInput
from hst_assets.hap import pieces
from hst_assets.hap.listed import ListedExposure, check_keywords, listed_exposures
from hst_assets.hap.piece_runs import Left, VisitFolder
from hst_assets.hap.poller import (
    INSTRUMENTS,
    PollerRow,
    poller_of_visit,
    poller_text,
    read_poller,
)
from hst_assets.hap.product_tree import TotalNode, VisitTree, check_planned, visit_tree
from hst_assets.hap.result import ReturnCode
from hst_assets.hap.visits.planned import PLAN
from hst_assets.hap.visits.work import TOOLS, Listener, VisitWork
from hst_assets.hap.wfpc2_exposures import write_flt
from hst_assets.products.columns import ColumnSpec, build_table, read_table, write_table
from hst_assets.provenance import Made, Recipe, Result, make, read_record
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir, write_atomically

__all__ = ["PLAN_COLUMNS", "make_hap_plan", "run_plan"]

PLAN_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("file", "str", "Drizzled image"),
    ColumnSpec("haplevel", "int64", "HAPLEVEL: 1 of exposures, 2 of filters and of all together"),
    ColumnSpec("detector", "str", "Detector, as file names have it"),
    ColumnSpec("filter", "str", "HAP's name of the filter; total: all filters"),
    ColumnSpec("exposures", "str", "Exposures that it is made of, separated by spaces"),
)

#: Names in the folder in which pieces run.
_GIVEN = "given-parameters.json"


def make_hap_plan(
    workdir: WorkDir,
    visit: str,
    settings: Settings,
    *,
    redo: bool = False,
    progress: Listener | None = None,
) -> Made:
    """Plan the advanced products of a visit.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; the visit's exposure table must exist.
    visit : str
        The visit.
    settings : Settings
        Of section hap the file of parameters and its section.
    redo : bool, optional
        Plan again what is up to date, too.
    progress : callable, optional
        Told what is done.

    Returns
    -------
    Made
        Product: the table ``hap/<visit>/plan.ecsv`` (`PLAN_COLUMNS`), beside which the poller and
        the parameters of all products lie.

    Raises
    ------
    MissingProduct
        If there is no exposure table, or raw/ lacks an exposure of the user's poller.
    UnusableInput
        If the poller cannot be read. A visit of which no exposure is used has an empty plan.
    BadConfiguration
        If the files are none that HAP takes.
    """
    work = VisitWork(workdir, visit, settings, progress)
    poller = _poller(work)
    sums = work.exposure_digests()
    lacking = [row.file for row in poller.rows if row.file not in sums]
    if lacking:
        raise MissingProduct(
            f"the poller lists what raw/ has not of visit {visit}: {', '.join(lacking)}",
            where=poller.name,
            next_step="Ingest the exposures, or take them out of the poller",
        )
    given = _parameters_of_visit(settings, visit)
    used = {"parameters_section": settings.hap.parameters_section} if given else {}
    recipe = Recipe(
        stage="hap_plan",
        inputs={
            "exposure_table": poller.table_digest,
            "poller": digest_of(poller_text(poller.rows)),
            **{row.file: sums[row.file] for row in poller.rows},
            **({"parameters": digest_of(given)} if given else {}),
        },
        settings={"hap": used},
        defaults={"hap": {"parameters_section": "default_values"}},
        tools=TOOLS,
    )
    return make(
        recipe,
        workdir.hap_plan(visit),
        workdir,
        lambda: _planned(work, poller, given),
        redo=redo,
    )


# ------------------------------------------------------------------------------- the poller


@dataclass(frozen=True)
class _Poller:
    """A poller, and where it comes from.

    What is `left_out` is not to be used; what is `lacking` is, and HAP cannot take it.
    """

    name: str
    rows: tuple[PollerRow, ...]
    table_digest: str
    left_out: tuple[str, ...]
    lacking: tuple[str, ...]
    is_users: bool


def _poller(work: VisitWork) -> _Poller:
    workdir, visit = work.workdir, work.visit
    record = read_record(workdir.visit_exposures(visit))
    if record is None:
        raise MissingProduct(
            "there is no exposure table of the visit",
            where=visit,
            next_step="Materialize exposure_table first",
        )
    name = _poller_name(visit)
    own = workdir.base / name
    if own.is_file():
        rows = read_poller(own)
        _check_users(rows, own, visit)
        for row in rows:
            check_keywords(row, work.given(row.file))
        return _Poller(name, rows, record.digest, (), (), is_users=True)
    table = Table(read_table(workdir.visit_exposures(visit)))  # its times are numbers
    left_out = [
        f"{row['rootname']}: {row['reason'] or 'not used'}" for row in table if not row["used"]
    ]
    used = [str(row["file"]) for row in table if row["used"]]
    rows = ()
    if used:
        # The path of a line is where the archive has the file: here, in the target's own folder.
        rows = poller_of_visit(
            table,
            visit,
            proposal_id=_proposal(workdir.raw / used[0]),
            folder=Path(workdir.raw.name),
            flt_folder=workdir.hap_flt_folder(visit).relative_to(workdir.base),
        )
    taken, lacking = _with_keywords(work, rows)
    return _Poller(name, taken, record.digest, tuple(left_out), lacking, is_users=False)


def _with_keywords(
    work: VisitWork, rows: Sequence[PollerRow]
) -> tuple[tuple[PollerRow, ...], tuple[str, ...]]:
    """The exposures whose headers have what HAP asks for; and the others, with what they lack."""
    taken, lacking = [], []
    for row in rows:
        try:
            check_keywords(row, work.given(row.file))
        except UnusableInput as error:
            lacking.append(f"{row.file}: {error.what}")
        else:
            taken.append(row)
    return tuple(taken), tuple(lacking)


def _poller_name(visit: str) -> str:
    try:
        instrument = INSTRUMENTS[visit[0]].lower()
    except KeyError:
        raise UnusableInput(
            "HAP takes exposures of WFC3, ACS and WFPC2", where=visit, next_step="Leave it out"
        ) from None
    return f"{instrument}_{visit[1:4]}_{visit[4:6]}_input.out"


def _check_users(rows: Sequence[PollerRow], path: Path, visit: str) -> None:
    if rows[0].skycell_id is not None:
        raise BadConfiguration(
            "this is the poller of a multi-visit mosaic",
            where=path,
            next_step="Give the poller of a visit: 1, 2 or 8 columns",
        )
    others = [row.file for row in rows if not row.file.startswith(visit)]
    if others:
        raise UnusableInput(
            f"it lists exposures of other visits: {', '.join(others)}",
            where=path,
            next_step="A poller has the exposures of one visit",
        )


def _proposal(path: Path) -> int:
    try:
        return int(fits.getval(path, "PROPOSID"))
    except (KeyError, OSError, ValueError) as error:
        raise UnusableInput(
            f"no number of a proposal in its header: {error}",
            where=path,
            next_step="Put a poller of one column into the target's folder, or leave the exposure "
            "out",
        ) from error


def _parameters_of_visit(settings: Settings, visit: str) -> dict[str, Any]:
    """What the user's file of parameters has of the products of a visit."""
    path = settings.hap.parameters_file
    if path is None:
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadConfiguration(
            f"the file of parameters cannot be read: {error}",
            where=path,
            next_step="Take the one that stands beside a visit's products, and change it",
        ) from error
    # Names of products end with IPPPSS of their visit, or IPPPSSOO.
    return {name: each for name, each in content.items() if name.split("_")[-1][:6] == visit}


# --------------------------------------------------------------------------------- planning


def run_plan(
    work: VisitWork,
    folder: VisitFolder,
    rows: Sequence[PollerRow],
    *,
    given: Mapping[str, Any] | None = None,
    written: str | None = None,
) -> Left | HstAssetsError:
    """Copies of the exposures under their new names, and drizzlepac's objects.

    Parameters
    ----------
    work : VisitWork
        The visit.
    folder : VisitFolder
        Where they are made; it has the exposures.
    rows : sequence of PollerRow
        The poller.
    given : mapping, optional
        Parameters of the visit that the user gives.
    written : str, optional
        Name of the file to which the parameters in force are written.
    """
    if given:
        (folder.files / _GIVEN).write_text(json.dumps(given), encoding="utf-8")
    arguments = {
        "poller": poller_text(rows),
        "log_level": work.log_level,
        "use_defaults": work.settings.hap.parameters_section == "default_values",
        "parameters_file": _GIVEN if given else None,
        "new_parameters_file": written,
    }
    piece = pieces.plan_piece([row.file for row in rows], arguments, is_extended=False)
    (outcome,) = work.run([piece], folder, done=0.0)
    return outcome


def _planned(work: VisitWork, listed_in: _Poller, given: Mapping[str, Any]) -> Result:
    poller, converted = _usable(work, listed_in)
    if not poller.rows:
        outputs = _write(work, poller, (), {}, {}, None, is_given=False)
        return Result(tuple(outputs[::-1]), _facts(poller, {}, {}, None, work))
    taken = [work.exposure_folder / row.file for row in poller.rows]
    with work.working("plan", taken) as folder:
        written = f"{poller.name.removesuffix('_input.out')}_parameters.json"
        planned = run_plan(work, folder, poller.rows, given=given, written=written)
        if isinstance(planned, HstAssetsError):
            raise planned
        numbers = range(sum(name.startswith("total") for name in planned.files))
        (told,) = work.run([pieces.parameters_piece(numbers)], folder, done=0.8)
        if isinstance(told, HstAssetsError):
            raise told
        files = [name for name in (written, *told.files) if (folder.files / name).is_file()]
        outputs = [*converted, *work.published(folder, files)]
    rejected: dict[str, str] = planned.value["rejected"]
    changed: dict[str, Any] = told.value["changed"]
    kept = [row for row in poller.rows if row.file not in rejected]
    listed = listed_exposures(kept, work.exposure_folder)
    tree = visit_tree(listed) if listed else None
    check_planned(tree, planned.value)
    outputs += _write(work, poller, listed, rejected, changed, tree, is_given=bool(given))
    return Result(tuple(outputs[::-1]), _facts(poller, rejected, changed, tree, work))


def _usable(work: VisitWork, poller: _Poller) -> tuple[_Poller, list[Path]]:
    """The poller of what HAP can take; and WFPC2's exposures in the form that it takes.

    One exposure that it cannot take costs itself, unless the user's own poller asks for it.
    """
    taken: list[PollerRow] = []
    lacking: list[str] = []
    converted: list[Path] = []
    for row in poller.rows:
        try:
            converted += _converted(work, row)
            if not poller.is_users:  # of the user's, HAP may reject it before it asks for more
                listed_exposures([row], work.exposure_folder)
        except (MissingProduct, UnusableInput) as error:
            if poller.is_users:
                raise
            lacking.append(f"{row.file}: {error.what}")
        else:
            taken.append(row)
    return replace(poller, rows=tuple(taken), lacking=(*poller.lacking, *lacking)), converted


def _converted(work: VisitWork, row: PollerRow) -> list[Path]:
    """A WFPC2 exposure in the form that HAP takes; of others nothing."""
    if not work.is_wfpc2:
        return []
    folder = work.exposure_folder
    folder.mkdir(parents=True, exist_ok=True)
    return [write_flt(work.given(row.file), folder)]


def _write(
    work: VisitWork,
    poller: _Poller,
    listed: Sequence[ListedExposure],
    rejected: Mapping[str, str],
    changed: Mapping[str, Any],
    tree: VisitTree | None,
    *,
    is_given: bool,
) -> list[Path]:
    """Write poller, plan and table; the table last."""
    text, plan = work.place(poller.name), work.workdir.hap_pieces(work.visit) / PLAN
    with write_atomically(text) as part:
        part.write_text(poller_text(poller.rows) or "# no exposure is used\n", encoding="utf-8")
    content = {
        "poller": poller.name,
        "listed": [asdict(one) for one in listed],
        "rejected": dict(rejected),
        "changed": dict(changed),
        "is_given": is_given,
    }
    with write_atomically(plan) as part:
        part.write_text(json.dumps(content, indent=1), encoding="utf-8")
    table = work.workdir.hap_plan(work.visit)
    meta = {"target": work.workdir.target, "visit": work.visit}
    write_table(build_table(PLAN_COLUMNS, list(_rows(tree)), meta), table)
    return [text, plan, table]


def _rows(tree: VisitTree | None) -> Iterator[dict[str, Any]]:
    for total in tree.totals if tree else ():
        if not total.drizzled_filters:
            continue
        every = [one.rootname for each in total.drizzled_filters for one in each.exposures]
        yield _row(total.drizzled_file, 2, total, "total", every)
        for each in total.drizzled_filters:
            own = [one.rootname for one in each.exposures]
            yield _row(each.drizzled_file, 2, total, each.filter, own)
            for one in each.exposures:
                yield _row(one.drizzled_file, 1, total, each.filter, [one.rootname])


def _row(
    file: str, level: int, total: TotalNode, name: str, exposures: Sequence[str]
) -> dict[str, Any]:
    return {
        "file": file,
        "haplevel": level,
        "detector": total.detector,
        "filter": name,
        "exposures": " ".join(exposures),
    }


def _facts(
    poller: _Poller,
    rejected: Mapping[str, str],
    changed: Mapping[str, Any],
    tree: VisitTree | None,
    work: VisitWork,
) -> dict[str, Any]:
    rows = list(_rows(tree))
    code = ReturnCode.DONE if rows else ReturnCode.NOTHING_TO_PROCESS
    facts: dict[str, Any] = {
        "n_exposures": len(poller.rows) + len(poller.lacking),
        "n_products": len(rows),
        "poller": f"the user's {poller.name}"
        if poller.is_users
        else "written from the exposure table",
        "tree": _drawn(tree),
        "rejected": [*poller.lacking, *(f"{name}: {why}" for name, why in rejected.items())],
        "left_out": list(poller.left_out),
        "aligned_only": _aligned_only(tree),
        "changed_parameters": sorted(changed),
        "ends_with": f"{code:d}: {code.meaning}",
    }
    given = work.settings.hap.parameters_file
    if given is not None:
        facts["parameters"] = f"{given}, section {work.settings.hap.parameters_section}"
    return facts


def _aligned_only(tree: VisitTree | None) -> list[str]:
    """Exposures that are aligned and not drizzled: dispersed ones, ramps and quads."""
    names = []
    for total in tree.totals if tree else ():
        drizzled = {one for each in total.drizzled_filters for one in each.exposures}
        beside = [one for one in total.exposures if one not in drizzled]
        names += [f"{one.rootname} ({one.filter})" for one in (*beside, *total.dispersed)]
    return names


def _drawn(tree: VisitTree | None) -> str:
    """The tree of products as a Markdown list."""
    lines = []
    for total in tree.totals if tree else ():
        if total.drizzled_filters:
            lines.append(f"- `{total.drizzled_file}`")
        for each in total.drizzled_filters:
            lines.append(f"  - `{each.drizzled_file}`")
            lines += [f"    - `{one.drizzled_file}`" for one in each.exposures]
    return "\n".join(lines) or "no exposure of the visit can be drizzled"

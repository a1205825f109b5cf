"""A target with one of each product, small and written by hand, its texts as hostile as can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable
from PIL import Image

from hst_assets.astrometry.alignment_table import ALIGNMENT_COLUMNS
from hst_assets.digests import sha256_of_file
from hst_assets.exposures.columns import EXPOSURE_COLUMNS
from hst_assets.exposures.raw import RawFile, write_ledger
from hst_assets.imaging.drizzle_index import DRIZZLE_COLUMNS
from hst_assets.photometry.artificial_stars.recovery import COMPLETENESS_COLUMNS
from hst_assets.photometry.light_curve.product import make_light_curve
from hst_assets.photometry.star_catalog import CATALOG_COLUMNS
from hst_assets.products.columns import ColumnSpec, build_table, read_table, write_table
from hst_assets.provenance import Recipe, Result, make, read_record
from hst_assets.settings import load_settings
from hst_assets.sky_geometry import TangentPlane
from hst_assets.workdir import WorkDir
from hst_assets_tests.photometry.light_curve.measured_target import (
    DEC,
    MIDDLE_PIX,
    RA,
    ROOTNAMES,
    Stars,
    measured_target,
)

#: Markup, Markdown, an escape sequence of a terminal, and a mark that turns text around.
HOSTILE = "<script>document.title='taken'</script>\x1b[31m**b**\u202e|<img src=x onerror=alert(1)>"
#: The same as a page shows it.
SEEN = HOSTILE.replace("\x1b", "\ufffd").replace("\u202e", "\ufffd")
STACK = "wfc3_uvis.f606w"
_NOTHING = {"float64": None, "int64": 0, "bool": False, "str": ""}
_SIDE = 24


def shown_target(root: Path, *, n_stars: int = 40) -> WorkDir:
    """A work directory in which every product of a target was made."""
    rng = np.random.default_rng(11)
    flux = np.vstack([rng.uniform(1, 9, n_stars) for _ in ROOTNAMES])
    flux[:, 0] = [1.0, 1.2, 3.0, -0.05]
    away = rng.uniform(-60, 60, (2, n_stars))
    away[:, 0] = 0
    stars = Stars(
        flux, 0.1, MIDDLE_PIX + away[0], MIDDLE_PIX + away[1], np.ones(n_stars, dtype=int)
    )
    workdir = measured_target(root, stars)
    _raw_files(workdir)
    _exposures(workdir)
    _alignment(workdir)
    _stacks(workdir)
    row = {"file": "dolphot/dp0000", "photometer": "embedded", "n_images": 4, "hdf5": ""}
    row |= {"n_objects": n_stars, "n_stars": n_stars, "filters": "WFC3_F606W WFC3_F814W"}
    _indexed(
        workdir, workdir.star_catalog, "star_catalog", CATALOG_COLUMNS, [row], _of_catalog(workdir)
    )
    _artificial_stars(workdir)
    make_light_curve(workdir, load_settings(workdir))
    _counterpart(workdir)
    return workdir


def _row(columns: tuple[ColumnSpec, ...], **values: Any) -> dict[str, Any]:
    return {spec.key or spec.name: _NOTHING[spec.dtype] for spec in columns} | values


def _indexed(
    workdir: WorkDir,
    path: Path,
    stage: str,
    columns: tuple[ColumnSpec, ...],
    rows: list[dict[str, Any]],
    inputs: dict[str, str],
    *others: Path,
    **facts: Any,
) -> None:
    """Write a table of these columns as the product of a stage, with other files of its."""

    def written() -> Result:
        path.parent.mkdir(exist_ok=True)
        write_table(build_table(columns, rows), path)
        return Result((path, *others), facts)

    make(Recipe(stage=stage, inputs=inputs), path, workdir, written, redo=True)


def _of_catalog(workdir: WorkDir) -> dict[str, str]:
    record = read_record(workdir.dolphot_catalog("dp"))
    assert record
    return {"dolphot_catalog": record.digest}


def _raw_files(workdir: WorkDir) -> None:
    files = []
    for name in ROOTNAMES:
        path = workdir.raw / f"{name}_flc.fits"
        header = fits.Header({"TARGNAME": HOSTILE.partition("\x1b")[0], "PROPOSID": 15999})
        fits.PrimaryHDU(header=header).writeto(path)
        status = path.stat()
        digest = sha256_of_file(path)
        files.append(
            RawFile(path.name, name, name[:6], "flc", status.st_size, status.st_mtime_ns, digest)
        )
    # One header has a byte that no header may have.
    last = workdir.raw / files[-1].name
    last.write_bytes(last.read_bytes().replace(b"'taken'", b"'t\x1bken'"))
    files[-1] = RawFile(
        last.name,
        ROOTNAMES[-1],
        ROOTNAMES[-1][:6],
        "flc",
        last.stat().st_size,
        last.stat().st_mtime_ns,
        sha256_of_file(last),
    )
    write_ledger(workdir, files)


def _exposures(workdir: WorkDir) -> None:
    known = read_table(workdir.target_exposures)
    plane = TangentPlane.about(np.array([[RA, DEC]]), 1.0).wcs()
    rows = []
    for number, row in enumerate(known):
        corners = 60.0 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) + 5 * number
        sky = plane.wcs_pix2world(corners, 0)
        name = str(row["rootname"])
        times = {each: row[each].to_value(u.day) for each in ("mjd_start", "mjd_mid", "mjd_end")}
        rows.append(
            _row(
                EXPOSURE_COLUMNS,
                file=f"{name}_flc.fits",
                rootname=name,
                visit=name[:6],
                epoch=int(row["epoch"]),
                used=True,
                note=HOSTILE,
                detector_key="wfc3_uvis",
                filter=str(row["filter"]),
                exptime=500.0,
                footprint="POLYGON ICRS " + " ".join(f"{a:.7f} {d:.7f}" for a, d in sky),
                **times,
            )
        )
    inputs = {f"{name}_flc.fits": _raw_digest(workdir, name) for name in ROOTNAMES}
    path = workdir.target_exposures
    _indexed(workdir, path, "target_exposures", EXPOSURE_COLUMNS, rows, inputs, n_exposures=4)


def _raw_digest(workdir: WorkDir, name: str) -> str:
    return sha256_of_file(workdir.raw / f"{name}_flc.fits")


def _alignment(workdir: WorkDir) -> None:
    rows = [
        _row(
            ALIGNMENT_COLUMNS,
            rootname=name,
            file=f"{name}_flc.fits",
            status="FAIL" if number == 3 else "PASS",
            method="tweakreg",
            used=number != 3,
            reason=HOSTILE if number == 3 else "",
            n_matches=100,
            rms_ra_mas=2.0,
            rms_dec_mas=3.0,
            fwhm_pix=2.0,
            star_shapes="good",
        )
        for number, name in enumerate(ROOTNAMES)
    ]
    path = workdir.target_alignment
    table = build_table(ALIGNMENT_COLUMNS, rows)

    def written() -> Result:
        for name, part in (("exposures", table), ("matches", table["rootname", "n_matches"])):
            part.write(path, path=name, format="hdf5", serialize_meta=True, append=True)
        facts = {"n_pass": 3, "n_compromised": 0, "n_fail": 1, "median_rms_pix": 0.06}
        return Result((path,), facts)

    make(Recipe(stage="target_alignment", inputs={"iaaa01": "0" * 64}), path, workdir, written)
    inputs = {f"raw:{name}_flc.fits": _raw_digest(workdir, name) for name in ROOTNAMES[:3]}
    for name in ("iaaa01", "iaaa02"):
        here = [row for row in rows if row["rootname"].startswith(name)]
        index = workdir.visit_alignment(name)
        _indexed(workdir, index, "aligned_exposures", ALIGNMENT_COLUMNS, here, inputs)


def _stacks(workdir: WorkDir) -> None:
    path = workdir.filter_stack(STACK)
    wcs = TangentPlane.about(np.array([[RA, DEC]]), 0.04).wcs((-_SIDE / 2, -_SIDE / 2))
    data = np.random.default_rng(1).normal(size=(_SIDE, _SIDE)).astype(np.float32)
    weight = np.ones_like(data)
    weight[:2] = 0
    planes = {"SCI": data, "WHT": weight, "ERR": np.full_like(data, 0.5)}
    hdus = [fits.ImageHDU(plane, wcs.to_header(), name=name) for name, plane in planes.items()]
    hdus[0].header["BUNIT"] = "ELECTRONS/S"
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    picture = workdir.preview(path)
    Image.fromarray(np.zeros((_SIDE, _SIDE, 3), np.uint8)).save(picture)
    aligned = {name: _raw_digest(workdir, name) for name in ROOTNAMES[:3]}
    made = make(
        Recipe(stage="drizzled_image", inputs=aligned, settings={"drizzle": {"pixfrac": 0.9}}),
        path,
        workdir,
        lambda: Result((path, picture), {"inputs": list(ROOTNAMES[:3]), "complaints": [HOSTILE]}),
    )
    row = _row(
        DRIZZLE_COLUMNS,
        file=workdir.relative(path),
        band=STACK,
        n_exposures=3,
        status="PROBLEM",
        problems=HOSTILE,
        digest=made.digest,
    )
    index = workdir.stack_products
    previews = [workdir.relative(picture)]
    inputs = {path.name: made.digest}
    _indexed(
        workdir, index, "drizzled_stacks", DRIZZLE_COLUMNS, [row], inputs, path, previews=previews
    )


def _artificial_stars(workdir: WorkDir) -> None:
    rows = [
        {
            "filter": "WFC3_F606W",
            "bright_edge": 24.0 + n / 2,
            "faint_edge": 24.5 + n / 2,
            "n_in": 100,
            "n_recovered": 100 - 20 * n,
            "completeness": 1 - 0.2 * n,
            "low": 0.96 - 0.2 * n,
            "high": 1 - 0.16 * n,
            "bias": 0.01,
            "bias_error": 0.02,
            "scatter": 0.1,
        }
        for n in range(4)
    ]
    limit = {"filter": "WFC3_F606W", "share": 0.5, "magnitude": 25.6, "error": 0.1, "note": HOSTILE}
    path = workdir.completeness
    inputs = _of_catalog(workdir)
    _indexed(workdir, path, "artificial_stars", COMPLETENESS_COLUMNS, rows, inputs, limits=[limit])


def _counterpart(workdir: WorkDir) -> None:
    path = workdir.counterpart
    path.parent.mkdir()
    Image.fromarray(np.zeros((_SIDE, 3 * _SIDE, 3), np.uint8)).save(workdir.counterpart_figure)
    workdir.counterpart_verdict.write_text(f"No source within the circle. {HOSTILE}")
    table = QTable({"ra": [RA] * u.deg, "separation": [12.345678] * u.mas, "note": [HOSTILE]})

    def written() -> Result:
        write_table(table, path)
        return Result((path, workdir.counterpart_figure, workdir.counterpart_verdict), {})

    record = read_record(workdir.light_curve)
    assert record
    recipe = Recipe(stage="light_curve", inputs={"light_curve": record.digest})
    make(recipe, path, workdir, written)

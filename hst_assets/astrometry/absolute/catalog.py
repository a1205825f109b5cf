"""The absolute catalogue of a target: stars whose positions and motions are known by themselves.

It is Gaia DR3 or a table of the user's own, cut to the field of the target's exposures, in
``workspace/absolute_catalog.ecsv``. Its digest is an input of every alignment that uses it. While
the field that it was made for covers the exposures, it stays: a new visit at the same place asks
no service and aligns nothing again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from hst_assets.astrometry.absolute.gaia import RELEASE, gaia_stars
from hst_assets.astrometry.absolute.stars import read_stars
from hst_assets.astrometry.absolute.user_catalog import read_user_catalog
from hst_assets.exposures.footprint import field_centre, parse_footprint
from hst_assets.failures import BadConfiguration
from hst_assets.products.columns import read_table
from hst_assets.provenance import Made, Recipe, Result, make, read_record, sha256_of_file
from hst_assets.settings import CatalogSettings, Settings
from hst_assets.sky_geometry import Cone
from hst_assets.workdir import WorkDir, write_atomically

__all__ = ["cone_about", "make_absolute_catalog", "read_absolute_catalog"]

STAGE = "absolute_catalog"
_GAIA = Path("gaia")
#: Beyond the outermost corner: pointing errors, the search radius and the motion of the stars.
_MARGIN_ARCMIN = 1.0
#: No field is smaller: one that holds a position fits whole into this, whatever the detector.
_LEAST_ARCMIN = 6


def make_absolute_catalog(workdir: WorkDir, settings: Settings) -> Made:
    """Write the absolute catalogue of a target's field.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; its exposure table must exist.
    settings : Settings
        Sections catalog and target.

    Returns
    -------
    Made
        Its product is ``workspace/absolute_catalog.ecsv``, brightest first (see
        `hst_assets.astrometry.absolute.stars.STAR_COLUMNS`); it may hold no star.

    Raises
    ------
    TransientFailure
        If Gaia is wanted and no service answered.
    BadConfiguration
        If the user's table is not there or lacks a column.
    """
    cone = _field(workdir, settings)
    standing = read_record(workdir.absolute_catalog)
    if standing is not None:
        kept = Cone(**standing.facts["cone"])
        cone = kept if kept.covers(cone) else cone
    source = settings.catalog.source
    is_gaia = source == _GAIA
    if is_gaia:
        inputs, how = {}, {"source": RELEASE, "faintest_mag": settings.catalog.faintest_mag}
    else:
        source = source if source.is_absolute() else workdir.base / source
        if not source.is_file():
            raise BadConfiguration("the catalogue does not exist", where=source)
        inputs, how = {"table": sha256_of_file(source)}, {"source": "table"}
    recipe = Recipe(
        stage=STAGE,
        inputs=inputs,
        settings={"catalog": how, "cone": cone.as_json()},
        defaults={"catalog": {"faintest_mag": CatalogSettings().faintest_mag}},
    )

    def run() -> Result:
        if is_gaia:
            stars, origin = gaia_stars(cone, settings.catalog, _cache(workdir, settings))
            return _write(workdir, stars, cone, RELEASE, origin)
        return _write(workdir, read_user_catalog(source), cone, source.name, str(source))

    return make(recipe, workdir.absolute_catalog, workdir, run)


def read_absolute_catalog(workdir: WorkDir) -> QTable:
    """The existing absolute catalogue.

    Raises
    ------
    MissingProduct
        If there is none.
    """
    return read_stars(workdir.absolute_catalog)


def _cache(workdir: WorkDir, settings: Settings) -> Path:
    cache = settings.catalog.cache
    return workdir.catalogs if cache is None else workdir.base / cache


def _field(workdir: WorkDir, settings: Settings) -> Cone:
    """The cone about the target, or about the exposures, that holds all those in use."""
    table = read_table(workdir.target_exposures)
    used = np.asarray(table["used"], dtype=bool)
    polygons = [
        polygon
        for text in np.asarray(table["footprint"], dtype=str)[used]
        for polygon in parse_footprint(text)
    ]
    ra, dec = settings.target.ra_deg, settings.target.dec_deg
    if ra is None or dec is None:
        ra, dec = field_centre(polygons)
    return cone_about(ra, dec, polygons)


def cone_about(ra_deg: float, dec_deg: float, polygons: Sequence[NDArray[np.float64]]) -> Cone:
    """The cone about a position (deg) that holds outlines (RA/Dec rows, deg) with a margin."""
    centre = Cone(round(ra_deg, 4) % 360.0, round(dec_deg, 4), 0)
    corners = np.vstack([np.zeros((0, 2)), *polygons])
    furthest = float(np.max(centre.separations_arcmin(corners), initial=0.0))
    radius = max(math.ceil(furthest + _MARGIN_ARCMIN), _LEAST_ARCMIN)
    return replace(centre, radius_arcmin=radius)


def _write(workdir: WorkDir, stars: QTable, cone: Cone, name: str, origin: str) -> Result:
    sky = np.column_stack([stars["ra"].to_value("deg"), stars["dec"].to_value("deg")])
    stars = stars[cone.contains(sky)]
    stars.meta = {"catalogue": name, "origin": origin, "cone": cone.as_json()}
    with write_atomically(workdir.absolute_catalog) as part:
        stars.write(part, format="ascii.ecsv", overwrite=True)
    facts: dict[str, Any] = {
        "catalogue": name,
        "origin": origin,
        "n_stars": len(stars),
        "cone": cone.as_json(),
    }
    return Result((workdir.absolute_catalog,), facts)

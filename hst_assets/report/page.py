"""The report of a target as an asset: one HTML file that works offline, in any folder.

It shows what there is: a product that is absent costs its section, which says why. It is made again
when any of the products has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from astropy.time import Time
from markupsafe import Markup

from hst_assets.digests import digest_of
from hst_assets.failures import MissingProduct
from hst_assets.products.columns import read_table
from hst_assets.products.web_page import templates_in, write_page
from hst_assets.provenance import Made, Recipe, Result, make, tool_version
from hst_assets.report.sections import sections_of
from hst_assets.report.shown_products import ShownProduct, shown_products
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["STAGE", "make_target_report"]

STAGE = "target_report"

#: Of the page's form, inside the package.
_FORM = ("products/web", "report/templates")
#: Of a file's SHA-256, enough to tell one content from another.
_DIGITS = 16
_TOOLS = ("astropy", "jinja2", "numpy", "pillow")


def make_target_report(workdir: WorkDir, settings: Settings, *, redo: bool = False) -> Made:
    """Make the report of a target.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its table of exposures must exist, the rest is shown where it does.
    settings : Settings
        Sections target, quality_cuts and light_curve; all that are not the default are listed.
    redo : bool, optional
        Make it again.

    Returns
    -------
    Made
        Product: ``report.html``. Facts: ``page``, how to open it, and ``absent``, what it lacks.

    Raises
    ------
    MissingProduct
        If there is no table of exposures.
    """
    products = shown_products(workdir)
    if products["target_exposures"].record is None:
        raise MissingProduct(
            "there is no table of exposures yet",
            where=workdir.target,
            next_step="Materialize target_exposures first",
        )
    recipe = Recipe(
        stage=STAGE,
        inputs={
            name: each.record.digest for name, each in products.items() if each.record is not None
        },
        settings={
            **_shown_settings(settings),
            "files": _contents(products),
            "not_shown": {name: each.why_not for name, each in products.items() if each.why_not},
            "form": _form(),
        },
        defaults=_shown_settings(Settings()),
        tools=_TOOLS,
    )
    return make(
        recipe,
        workdir.report,
        workdir,
        lambda: _written(workdir, settings, products),
        redo=redo,
    )


def _form() -> str:
    """Digest of templates, style and script, of which the version of the code knows nothing."""
    return digest_of(
        {
            path.name: path.read_text(encoding="utf-8")
            for folder in _FORM
            for path in files("hst_assets").joinpath(folder).iterdir()
        }
    )[:_DIGITS]


def _contents(products: Mapping[str, ShownProduct]) -> dict[str, str]:
    """What the products' files hold, for a product may be completed under the same recipe."""
    return {
        name: digest_of({file: stamp.sha256 for file, stamp in each.record.outputs.items()})[
            :_DIGITS
        ]
        for name, each in products.items()
        if each.record is not None
    }


def _shown_settings(settings: Settings) -> dict[str, Any]:
    """All but those that change no product: the machine's, and where products are published."""
    return settings.model_dump(mode="json", exclude={"machine", "publish"})


def _written(workdir: WorkDir, settings: Settings, products: Mapping[str, ShownProduct]) -> Result:
    sections, absent = sections_of(workdir, settings, products)
    body = (
        templates_in("hst_assets.report", "templates")
        .get_template("report.html")
        .render(
            target=workdir.target,
            overview=_overview(read_table(workdir.target_exposures), settings),
            sections=sections,
            version=tool_version("hst_assets"),
        )
    )
    title = f"{workdir.target}: Hubble imaging"
    write_page(workdir.report, title=title, body=Markup(body))  # noqa: S704 - of a template
    facts = {
        "page": workdir.relative(workdir.report),
        "n_sections": len(sections),
        "absent": absent,
        "size_mb": round(workdir.report.stat().st_size / 1e6, 2),
    }
    return Result((workdir.report,), facts)


def _overview(exposures: QTable, settings: Settings) -> list[tuple[str, str]]:
    used = exposures[np.asarray(exposures["used"], dtype=bool)]
    found = [("position (ICRS)", _position(settings))]
    found.append(("exposures", f"{len(used)} used of {len(exposures)}"))
    if len(used):
        bands = sorted({f"{row['detector_key']} {row['filter']}" for row in used})
        times = used["mjd_mid"].to_value(u.day)
        first, last = (Time(each, format="mjd").iso[:10] for each in (times.min(), times.max()))
        found += [
            ("bands", ", ".join(bands)),
            ("epochs", str(len(set(used["epoch"].tolist())))),
            ("dates", first if first == last else f"{first} to {last}"),
            ("exposure time", f"{used['exptime'].to_value(u.s).sum():.0f} s"),
        ]
    return found


def _position(settings: Settings) -> str:
    target = settings.target
    if target.ra_deg is None or target.dec_deg is None:
        return "none is set"
    text = SkyCoord(target.ra_deg, target.dec_deg, unit="deg").to_string("hmsdms", precision=2)
    return f"{text} ({target.ra_deg:.6f}, {target.dec_deg:+.6f} deg)"

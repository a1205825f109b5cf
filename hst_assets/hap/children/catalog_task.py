"""The pieces of HAP that make catalogues: detect, measure each filter, combine.

Each function runs in a child process, in a folder that holds its inputs. They do what
``hapsequencer.create_catalog_products`` of drizzlepac 3.11 does in one go.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from astropy.table import Table

from hst_assets.hap.children import upstream_defects

upstream_defects.apply_at_import()

from drizzlepac import hapsequencer  # noqa: E402 - the line above comes first
from drizzlepac.haputils import catalog_utils, diagnostic_utils, poller_utils  # noqa: E402

from hst_assets.hap.children.single_exposures import exposure_time_of_single_exposures  # noqa: E402
from hst_assets.hap.objects import load, save  # noqa: E402
from hst_assets.hap.quicker import shortcuts  # noqa: E402
from hst_assets.imaging.forked import in_children  # noqa: E402

__all__ = ["combine", "detect", "measure"]

#: What the measurement of a filter needs of the segments beside the sources.
_OF_SEGMENTS = ("kernel", "source_cat", "total_source_cat", "final_nsigma")
#: What the image of `_catalogs` has of its background.
_OF_BACKGROUND = (
    "bkg_background_ra",
    "bkg_rms_ra",
    "bkg_rms_median",
    "bkg_median",
    "bkg_type",
    "footprint_mask",
    "inv_footprint_mask",
    "kernel",
    "kernel_fwhm",
)
#: What a catalogue has in place of a missing value.
_MISSING = -9999.9


#: Then every peak above the threshold counts, and the catalogue is another one.
_FALLS_BACK = "Exception thrown when trying to use PSFs"


class _Warnings(logging.Handler):
    """Keeps warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning."""
        self.texts.append(record.getMessage())


@contextmanager
def _heard(log: logging.Logger) -> Iterator[_Warnings]:
    """Hear the warnings of a logger, also where the user's level is above them."""
    complaints, level = _Warnings(), log.level
    log.addHandler(complaints)
    log.setLevel(min(level, complaints.level))
    try:
        yield complaints
    finally:
        log.setLevel(level)
        log.removeHandler(complaints)


def _catalogs(total: Any, product: Any, options: dict[str, Any], sources: Any = None) -> Any:
    return catalog_utils.HAPCatalogs(
        product.drizzle_filename,
        total.configobj_pars.get_pars("catalog generation"),
        total.configobj_pars.get_pars("quality control"),
        product.mask,
        options["log_level"],
        types=options["photometry"],
        diagnostic_mode=options["diagnostic_mode"],
        tp_sources=sources,
    )


def detect(number: int, options: dict[str, Any], cores: int) -> dict[str, Any]:
    """Find sources on the image of all filters.

    Parameters
    ----------
    number : int
        Of the total product.
    options : dict
        ``log_level``, ``photometry`` (which catalogues) and ``diagnostic_mode``.
    cores : int
        Processes at a time.

    Returns
    -------
    dict
        ``found``: number of sources of each kind, None where HAP left none to count;
        ``complaint``: that point sources were found without a model of stars, which drizzlepac
        only logs, or None.
    """
    total = load(f"drizzled{number}")
    catalogs = _catalogs(total, total, options)
    identified = _identified(catalogs, total.mask, cores)
    sources = {kind: each["sources"] for kind, each in identified.items()}
    save(sources, f"sources{number}")
    fell_back = [
        text for each in identified.values() for text in each["complaints"] if _FALLS_BACK in text
    ]
    return {
        "found": {kind: _count(each["sources"]) for kind, each in sources.items()},
        "complaint": fell_back[0] if fell_back else None,
    }


def _identified(catalogs: Any, mask: Any, cores: int) -> dict[str, Any]:
    """What each kind of catalogue finds; side by side, as the kinds need little of each other.

    Segments come first. In a crowded field they exchange the image's background, which is then
    that of the points, too.
    """
    kinds = list(catalogs.catalogs)
    found = in_children([partial(_identify, catalogs, kind, mask) for kind in kinds], cores)
    identified = dict(zip(kinds, found, strict=True))
    background = identified[kinds[0]]["background"]
    if background is not None and cores > 1 and len(kinds) > 1:
        vars(catalogs.image).update(background)
        for kind in kinds[1:]:
            identified[kind] = _identify(catalogs, kind, mask)
    return identified


def _identify(catalogs: Any, kind: str, mask: Any) -> dict[str, Any]:
    catalog, image = catalogs.catalogs[kind], catalogs.image
    before = image.bkg_background_ra
    with _heard(catalog_utils.log) as complaints:
        catalog.identify_sources(mask=mask)
    sources = {"sources": catalog.sources}
    if kind == "segment":
        sources |= {name: getattr(catalog, name) for name in _OF_SEGMENTS}
    exchanged = image.bkg_background_ra is not before
    return {
        "sources": sources,
        "complaints": complaints.texts,
        "background": {name: getattr(image, name) for name in _OF_BACKGROUND}
        if exchanged
        else None,
    }


def _count(sources: Any) -> int | None:
    if sources is None:
        return None
    return int(sources.nlabels) if hasattr(sources, "nlabels") else len(sources)


def measure(number: int, index: int, options: dict[str, Any]) -> dict[str, Any]:
    """Measure the sources on the image of a filter, and write its catalogues.

    Parameters
    ----------
    number, index : int
        Of the total product, and of the filter in it.
    options : dict
        As of `detect`.
    """
    total, product = load(f"drizzled{number}"), load(f"filter{number}_{index}")
    sources = load(f"sources{number}")
    for each in (product, *product.edp_list):
        poller_utils.add_primary_fits_header_as_attr(each)
    catalogs = _catalogs(total, product, options, sources)
    catalogs.measure(product.filters)
    catalogs = hapsequencer.run_sourcelist_flagging(
        product, catalogs, options["log_level"], options["diagnostic_mode"]
    )
    if options["diagnostic_mode"] and "aperture" in catalogs.catalogs:
        _write_widths(product, catalogs, sources["aperture"]["sources"], options["log_level"])
    columns = {}
    for kind, catalog in catalogs.catalogs.items():
        columns[kind] = catalog.subset_filter_source_cat
        columns[kind][f"Flags_{product.filters}"] = catalog.source_cat["Flags"]
    save(
        {"columns": columns, "worst_flag": catalogs.param_dict["flag_trim_value"]},
        f"columns{number}_{index}",
    )
    catalogs.write(dict.fromkeys(catalogs.catalogs, False))
    return {}


def _write_widths(product: Any, catalogs: Any, sources: Table, log_level: int) -> None:
    """What HAP's flags of stars are tuned with: concentration and FWHM of each source."""
    if "fwhm" not in sources.colnames:
        return
    report = diagnostic_utils.HapDiagnostic(log_level=log_level)
    report.instantiate_from_hap_obj(
        product, data_source="hapsequencer", description="CI vs. FWHM values"
    )
    concentration = catalogs.catalogs["aperture"].source_cat["CI"]
    report.add_data_item(Table([concentration, sources["fwhm"]], names=("CI", "FWHM")), "CI_FWHM")
    report.write_json_file(product.point_cat_filename.replace(".ecsv", "_ci_fwhm.json"))


def combine(
    number: int, filters: Sequence[int], options: dict[str, Any], catalogs_of_filters: Sequence[str]
) -> dict[str, Any]:
    """Join the measurements of all filters to the sources, and write the catalogues.

    Parameters
    ----------
    number : int
        Of the total product.
    filters : sequence of int
        The filters in it that were measured.
    options : dict
        As of `detect`.
    catalogs_of_filters : sequence of str
        Their catalogues, which are emptied if the detection is one of cosmic rays.

    Returns
    -------
    dict
        ``emptied``: whether they were.
    """
    total, sources = load(f"drizzled{number}"), load(f"sources{number}")
    with shortcuts.without_backgrounds():
        catalogs = _catalogs(total, total, options)
    for kind, kept in sources.items():
        for name, value in kept.items():
            setattr(catalogs.catalogs[kind], name, value)
    worst = 0
    for index in filters:
        measured = load(f"columns{number}_{index}")
        worst = measured["worst_flag"]
        catalogs.combine({kind: {"subset": each} for kind, each in measured["columns"].items()})
    for kind, catalog in catalogs.catalogs.items():
        table = "sources" if kind == "aperture" else "source_cat"
        setattr(catalog, table, _with_a_good_flag(getattr(catalog, table), worst))
    single = exposure_time_of_single_exposures(
        [(one.filters, one.exptime) for one in total.edp_list], total.detector
    )
    rejected = catalogs.verify_crthresh(single)
    emptied = any(rejected.values()) and not options["diagnostic_mode"]
    if emptied:
        for name in catalogs_of_filters:
            Table.read(name)[:0].write(name, format="ascii.ecsv", overwrite=True)
    catalogs.write(dict.fromkeys(catalogs.catalogs, emptied))
    return {"emptied": emptied}


def _with_a_good_flag(table: Table, worst: int) -> Table:
    """The rows that have a measurement with a flag of at most `worst` in some filter."""
    names = [name for name in table.colnames if "Flags_" in name]
    flags = table.filled(_MISSING)[names]
    bad = [(flags[name] > worst) | np.isclose(flags[name], _MISSING) for name in names]
    return table[np.flatnonzero(~np.logical_and.reduce(bad))]

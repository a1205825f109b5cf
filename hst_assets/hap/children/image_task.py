"""The pieces of HAP that make images: plan, align, drizzle, finish headers.

Each function runs in a child process, in a folder that holds its inputs; see
`hst_assets.hap.pieces` for what follows what. They call drizzlepac's ``haputils`` in the order of
``hapsequencer.run_hap_processing`` (3.11).
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from astropy.io import fits

from hst_assets.failures import BadConfiguration
from hst_assets.hap.children import upstream_defects

upstream_defects.apply_at_import()

from drizzlepac import hapsequencer  # noqa: E402 - the line above comes first
from drizzlepac.haputils import (  # noqa: E402
    analyze,
    config_utils,
    poller_utils,
    processing_utils,
)

from hst_assets.hap.listed import FITTED  # noqa: E402
from hst_assets.hap.objects import load, save, without_wcs  # noqa: E402
from hst_assets.hap.quicker import shortcuts  # noqa: E402
from hst_assets.imaging.forked import in_children  # noqa: E402

__all__ = [
    "align",
    "drizzle_filter",
    "drizzle_total",
    "finish_header",
    "plan",
]


def plan(
    *,
    poller: str,
    log_level: int,
    use_defaults: bool,
    parameters_file: str | None,
    new_parameters_file: str | None,
) -> dict[str, Any]:
    """Copy the exposures under their new names; leave the total products.

    Parameters
    ----------
    poller : str
        Text of the poller.
    log_level : int
        Of `logging`.
    use_defaults : bool
        Whether the section ``default_values`` of `parameters_file` is used, not ``parameters``.
    parameters_file : str or None
        File of parameters; None for those of drizzlepac.
    new_parameters_file : str or None
        Name of the file to which the parameters are written.

    Returns
    -------
    dict
        ``descriptions``: of each exposure, filter and total, by drizzlepac's key; ``drizzled``:
        names and levels of the drizzled images, none if there is no exposure to drizzle;
        ``places``: image of each total product and of its filters, in order; ``rejected``:
        exposures that HAP does not take, and why.

    Raises
    ------
    BadConfiguration
        If `parameters_file` lacks a product.
    """
    Path("poller.csv").write_text(poller, encoding="utf-8")
    listed = [line.split(",")[0] for line in poller.splitlines()]
    try:
        described, totals = poller_utils.interpret_obset_input("poller.csv", log_level)
    except SystemExit as end:
        if end.code != analyze.Ret_code.NO_VIABLE_DATA.value:
            raise
        return {"descriptions": {}, "drizzled": {}, "places": [], "rejected": _reasons(listed)}
    finally:
        Path("poller.csv").unlink()
    drizzled = {}
    for number, total in enumerate(totals):
        for product in (total, *total.fdp_list, *total.edp_list):
            if parameters_file is not None:
                _check_given(product.product_basename, Path(parameters_file))
            product.configobj_pars = upstream_defects.mended_parameters(
                config_utils.HapConfig(
                    product,
                    log_level=log_level,
                    use_defaults=use_defaults,
                    input_custom_pars_file=parameters_file,
                    output_custom_pars_file=new_parameters_file,
                )
            )
            drizzled[product.drizzle_filename] = product.haplevel
        for exposure in total.edp_list:
            poller_utils.add_primary_fits_header_as_attr(exposure, log_level)
        save(total, f"total{number}")
    taken = [file for each in described.values() for file in each["files"]]
    return {
        "descriptions": {key: each["info"] for key, each in described.items() if each["info"]},
        "drizzled": drizzled,
        "places": [
            [total.drizzle_filename, [each.drizzle_filename for each in total.fdp_list]]
            for total in totals
        ],
        "rejected": _reasons([name for name in listed if name not in taken]),
    }


def _check_given(name: str, given: Path) -> None:
    """Drizzlepac wants parameters of every product, and would end with a bare KeyError."""
    if name not in json.loads(given.read_text(encoding="utf-8")):
        raise BadConfiguration(
            "the file of parameters has none of this product",
            where=name,
            next_step="Give those of all products of the visit: take the file that stands beside "
            "them or that 'hst-assets hap -o FILE' writes, and change it",
        )


def _reasons(names: list[str]) -> dict[str, str]:
    if not names:
        return {}
    table, _ = analyze.analyze_data(names)
    return {str(row["imageName"]): str(row["processMsg"]).strip() for row in table}


def align(*, number: int, log_level: int, diagnostic_mode: bool, cores: int) -> dict[str, Any]:
    """Align all exposures of a detector to Gaia, with one fit.

    Parameters
    ----------
    number : int
        Of the total product.
    log_level : int
        Of `logging`.
    diagnostic_mode : bool
        Keep reference catalogues.
    cores : int
        Processes that look for sources at a time.

    Returns
    -------
    dict
        ``headerlets``: their names; ``aligned_only``, ``dispersed``: files of exposures that are
        not drizzled, with the names of their logs; ``wcs``: WCSNAME of each exposure;
        ``outage``: a sentence, if there is no fit and the catalogue of stars did not answer; else
        empty.
    """
    total = load(f"total{number}")
    # In diagnostic mode, drizzlepac writes the sources of each exposure beside finding them.
    finding = nullcontext() if diagnostic_mode else shortcuts.sources_in_children(cores)
    with finding, upstream_defects.outages_noted() as outages:
        headerlets = hapsequencer.run_align_to_gaia(
            total, log_level=log_level, diagnostic_mode=diagnostic_mode
        )
    wcs = {one.full_filename: _wcs_name(one.full_filename) for one in total.edp_list}
    hapsequencer.delete_ramp_and_quadrant_exposures(total.fdp_list, "FILTER")
    aligned_only = hapsequencer.delete_ramp_and_quadrant_exposures(total.edp_list, "EXPOSURE")
    dispersed: list[str] = []
    if total.grism_edp_list and total.edp_list:
        dispersed = hapsequencer.update_wcs_in_visit(total)
    names = [one.full_filename for one in total.edp_list]
    in_children([partial(processing_utils.add_skycell_to_header, name) for name in names], cores)
    save(without_wcs(total), f"aligned{number}")
    return {
        "headerlets": [str(name) for name in headerlets],
        "aligned_only": list(aligned_only),
        "dispersed": list(dispersed),
        "wcs": wcs,
        "outage": "" if any(FITTED in name for name in wcs.values()) else next(iter(outages), ""),
    }


def _wcs_name(file: str) -> str:
    return str(fits.getval(file, "WCSNAME", ("SCI", 1)))


def drizzle_filter(number: int, index: int) -> dict[str, Any]:
    """Drizzle a filter, which flags cosmic rays in its exposures, and then each exposure.

    Parameters
    ----------
    number, index : int
        Of the total product, and of the filter in it.
    """
    total = load(f"aligned{number}")
    product = total.fdp_list[index]
    # Pickling would lose part of it: it is computed from the headers.
    frame = total.generate_metawcs()
    product.rules_file = processing_utils.get_rules_file(
        product.edp_list[0].full_filename, rules_root=product.drizzle_filename
    )
    product.wcs_drizzle_product(frame)
    # Exposures are drizzled here, not beside the total: it is their drizzle that leaves MDRIZSKY.
    for exposure in product.edp_list:
        exposure.rules_file = processing_utils.get_rules_file(exposure.full_filename)
        exposure.wcs_drizzle_product(frame)
        without_wcs(exposure)
    save(without_wcs(product), f"filter{number}_{index}")
    return {}


def drizzle_total(number: int, kept: list[int] | None = None) -> dict[str, Any]:
    """Drizzle the filters of a detector together.

    Parameters
    ----------
    number : int
        Of the total product.
    kept : list of int, optional
        Which filters; by default all. The frame is that of all of them.
    """
    total = load(f"aligned{number}")
    frame = total.generate_metawcs()
    if kept is not None:
        total.fdp_list = [total.fdp_list[index] for index in kept]
        names = {one.full_filename for each in total.fdp_list for one in each.edp_list}
        total.edp_list = [one for one in total.edp_list if one.full_filename in names]
    total.rules_file = processing_utils.get_rules_file(
        total.edp_list[0].full_filename, rules_root=total.drizzle_filename
    )
    total.wcs_drizzle_product(frame)
    save(without_wcs(total), f"drizzled{number}")
    return {}


def finish_header(number: int, name: str, trailer: str) -> dict[str, Any]:
    """Write the keywords of a drizzled image that need more than the image.

    Parameters
    ----------
    number : int
        Of the total product.
    name : str
        The image.
    trailer : str
        Its log.
    """
    processing_utils.refine_product_headers(name, [load(f"aligned{number}")])
    fits.setval(name, "DRIZPARS", value=trailer)
    return {}

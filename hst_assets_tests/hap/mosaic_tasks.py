"""What tests of mosaics ask drizzlepac itself, in child processes and scratch folders."""

import sys
from pathlib import Path
from types import SimpleNamespace

from drizzlepac import hapsequencer, runmultihap
from drizzlepac.haputils import analyze, cell_utils, config_utils, poller_utils, processing_utils


def aligned_visit(poller):
    """Exposures as a single visit leaves them, in the current folder: copied and aligned."""
    _, totals = poller_utils.interpret_obset_input(poller, 20)
    names = []
    for total in totals:
        for product in (total, *total.fdp_list, *total.edp_list):
            product.configobj_pars = config_utils.HapConfig(product, log_level=20)
        hapsequencer.run_align_to_gaia(total, log_level=20)
        for one in total.edp_list:
            processing_utils.add_skycell_to_header(one.full_filename)
            names.append(one.full_filename)
    return names


def layers_of(poller):
    """Names of the layers, their exposures and levels."""
    _, layers = poller_utils.interpret_mvm_input(poller, 40)
    return {
        layer.drizzle_filename: {
            "basename": layer.product_basename,
            "trailer": layer.trl_filename,
            "manifest": layer.manifest_name,
            "level": layer.haplevel,
            "scale": layer.skycell.scale,
            "members": sorted(one.svm_exposure_name for one in layer.edp_list),
        }
        for layer in layers
    }


def raised_by_a_grism(exposure):
    """What drizzlepac raises where it judges an exposure for a mosaic."""
    try:
        analyze.analyze_data([exposure], type="MVM")
    except TypeError as error:
        return str(error)
    return None


def sky_cell(name, scale):
    """Its WCS."""
    wcs = cell_utils.SkyCell.from_name(name, scale=scale).wcs
    return {
        "crpix": wcs.wcs.crpix.tolist(),
        "crval": wcs.wcs.crval.tolist(),
        "cd": wcs.wcs.cd.tolist(),
        "shape": list(wcs.pixel_shape),
    }


def exit_of_runmultihap(poller):
    """What the command ends with where drizzlepac gives up: the kind of its exit code, and it."""
    sys.argv = ["runmultihap", poller]
    try:
        sys.exit(runmultihap.main())
    except SystemExit as end:
        return type(end.code).__name__, str(end.code)


def cells_of_a_mixed_poller(rows):
    """The sky cells in which drizzlepac puts the exposures of several sky cells."""
    poller_utils.analyze = SimpleNamespace(
        analyze_wrapper=lambda names, **_: (names, range(len(names)), 0)
    )
    Path("poller.csv").write_text("".join(f"{row}\n" for row in rows))
    table = poller_utils.build_poller_table("poller.csv", 40, poller_type="mvm")
    return [[str(row["filename"]), str(row["skycell_id"])] for row in table]

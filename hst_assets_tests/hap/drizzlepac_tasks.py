"""What tests ask drizzlepac itself, in child processes and scratch folders."""

import importlib
import inspect
from types import SimpleNamespace

import numpy as np
from astropy.io import fits
from astropy.table import Table
from drizzlepac import runsinglehap  # here: once, for all processes that are forked


def drizzlepacs_tree(poller):
    """Names, levels and descriptions of all products; the exposures have headers only."""
    from drizzlepac.haputils import poller_utils, processing_utils

    processing_utils.compute_sregion = lambda *args, **kwargs: None  # these have no sky
    described, totals = poller_utils.interpret_obset_input(poller, 40)
    return {
        "info": {key: each["info"] for key, each in described.items() if each["info"]},
        "totals": [
            {
                "file": total.drizzle_filename,
                "info": total.info,
                "level": total.haplevel,
                "manifest": total.manifest_name,
                "catalogs": [total.point_cat_filename, total.segment_cat_filename],
                "trailer": total.trl_filename,
                "filters": [_filter(each) for each in total.fdp_list],
                "exposures": [one.drizzle_filename for one in total.edp_list],
                "dispersed": [one.full_filename for one in total.grism_edp_list],
            }
            for total in totals
        ],
    }


def _filter(product):
    return {
        "file": product.drizzle_filename,
        "info": product.info,
        "level": product.haplevel,
        "catalogs": [product.point_cat_filename, product.segment_cat_filename],
        "trailer": product.trl_filename,
        "exposures": [
            {
                "files": [one.full_filename, one.drizzle_filename, one.headerlet_filename],
                "info": one.info,
                "level": one.haplevel,
                "trailer": one.trl_filename,
            }
            for one in product.edp_list
        ],
    }


def whole_visit(poller):
    """What runsinglehap makes, in the current folder."""
    return runsinglehap.perform(poller, log_level="info")


# ------------------------------------------------------------------------------------ defects


def flt_of_wfpc2(c0m):
    """The file that drizzlepac makes, and how many of its errors are no numbers."""
    from drizzlepac.wfpc2Data import wfpc2_to_flt

    file = wfpc2_to_flt(c0m)
    with fits.open(file) as hdus:
        missing = sum(int(np.isnan(hdu.data).sum()) for hdu in hdus if hdu.name == "ERR")
    return {"file": file, "missing_errors": missing}


def raised_by_matched_lines():
    from drizzlepac.haputils import comparison_utils

    table = Table({"FLUX": [1.0, 2.0]})
    lines, mask = np.array([0, 1]), np.array([False, True])
    try:
        comparison_utils.extractMatchedLines("FLUX", table, table, lines, lines, bitmask=mask)
    except ValueError as error:
        return str(error)
    return None


def raised_by_importing_the_comparison():
    try:
        importlib.import_module("drizzlepac.haputils.compare_sourcelists")
    except ModuleNotFoundError as error:
        return error.name
    return None


def files_asked_for_by_a_test_with_gaia(mended):
    from drizzlepac.haputils import svm_quality_analysis

    from hst_assets.hap.upstream_defects import name_exposures_for_quality

    asked = []

    def stars_of(names, **kwargs):
        asked.extend(names)
        return []

    svm_quality_analysis.au.create_astrometric_catalog = stars_of
    exposure = SimpleNamespace(
        info="12345_01_wfc3_ir_empty_aperture_iaaa01a0q_flt.fits_f160w_drz",
        aperture_from_poller="empty_aperture",
    )
    if mended:
        name_exposures_for_quality([exposure])
    svm_quality_analysis.generate_gaia_catalog(exposure)
    return asked


def parameters_of_a_file(path, use_defaults, mended):
    """Its threshold of detection, and whether the alignment finds its own."""
    from drizzlepac.haputils.config_utils import HapConfig

    from hst_assets.hap.upstream_defects import give_alignment_parameters

    product = SimpleNamespace(
        instrument="wfc3",
        detector="ir",
        is_singleton=False,
        product_basename="one",
        drizzle_filename="hst_12345_01_wfc3_ir_f160w_iaaa01a0_drz.fits",
    )
    if path is None:
        HapConfig(product, log_level=40, output_custom_pars_file="written.json")
        return None
    configuration = HapConfig(
        product, log_level=40, use_defaults=use_defaults, input_custom_pars_file=path
    )
    if mended:
        give_alignment_parameters(configuration)
    alignment = configuration.pars["alignment"]
    found = getattr(alignment, "pars_multidict", {}).get("all", {})
    return {
        "nsigma": configuration.get_pars("catalog generation")["nsigma"],
        "alignment_found": "mosaic_catalog_list" in found.get("run_align", {}),
    }


def limits_of_wfpc2(mended):
    """Concentrations between which a source is a star, and the apertures that they are of."""
    from drizzlepac.haputils.config_utils import HapConfig

    from hst_assets.hap.upstream_defects import give_wfpc2_its_limits

    product = SimpleNamespace(
        instrument="wfpc2",
        detector="pc",
        is_singleton=False,
        product_basename="one",
        drizzle_filename="hst_12345_01_wfpc2_pc_f606w_uaaa01a0_drz.fits",
    )
    configuration = HapConfig(product, log_level=40)
    if mended:
        give_wfpc2_its_limits(configuration)
    limits = configuration.get_pars("quality control")["ci filter"]["aperture"]
    apertures = configuration.get_pars("catalog generation")
    return {
        "limits": [limits["ci_lower_limit"], limits["ci_upper_limit"]],
        "apertures": [apertures["aperture_1"], apertures["aperture_2"]],
    }


def code_of_the_read_noise():
    """How HAP reads an image's header."""
    from drizzlepac.haputils.catalog_utils import CatalogImage

    return inspect.getsource(CatalogImage._get_header_data)


def code_of_the_search_for_cosmic_rays():
    """How drizCR compares a pixel with the model of its image."""
    from drizzlepac import drizCR

    return inspect.getsource(drizCR._driz_cr)

"""What tests ask drizzlepac itself, in child processes and scratch folders."""

import importlib
from types import SimpleNamespace

import numpy as np
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


def raised_by_matched_lines():
    from drizzlepac.haputils import comparison_utils

    table = Table({"FLUX": [1.0, 2.0]})
    lines, mask = np.array([0, 1]), np.array([False, True])
    try:
        comparison_utils.extractMatchedLines("FLUX", table, table, lines, lines, bitmask=mask)
    except ValueError as error:
        return str(error)
    return None


def raised_by_the_comparison_with_the_archive(mended):
    """``compare_sourcelists`` has a copy of the same function."""
    from hst_assets.hap import upstream_defects

    upstream_defects.apply_at_import()
    from drizzlepac.haputils import compare_sourcelists

    if mended:
        upstream_defects.mend_comparison()
    table = Table({"FLUX": [1.0, 2.0]})
    lines, mask = np.array([0, 1]), np.array([False, True])
    try:
        found = compare_sourcelists.extractMatchedLines(
            "FLUX", table, table, lines, lines, bitmask=mask
        )
    except ValueError as error:
        return str(error)
    return np.asarray(found).tolist()


def mean_distance_of_neighbours(x, y, mended):
    """What the test of how Gaia's stars are spread tells of stars at these pixels."""
    from drizzlepac.haputils import svm_quality_analysis

    from hst_assets.hap import upstream_defects

    told = {}

    class Report:
        def instantiate_from_hap_obj(self, *args, **kwargs):
            pass

        def add_data_item(self, values, title, **kwargs):
            told.update(values)

        def write_json_file(self, *args, **kwargs):
            pass

    stars = Table({"RA": x, "DEC": y})
    frame = SimpleNamespace(
        all_world2pix=lambda ra, dec, origin: (np.array(ra), np.array(dec)),
        wcs=SimpleNamespace(crpix=[0.0, 0.0]),
    )
    svm_quality_analysis.generate_gaia_catalog = lambda *args, **kwargs: stars
    svm_quality_analysis.HSTWCS = lambda name: frame
    svm_quality_analysis.du = SimpleNamespace(HapDiagnostic=lambda log_level: Report())
    if mended:
        upstream_defects.mend_neighbours()
    product = SimpleNamespace(drizzle_filename="one_drz.fits")
    svm_quality_analysis.characterize_gaia_distribution(product, log_level=20)
    return float(told["mean neighbor distance"])


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

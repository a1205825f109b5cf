"""What tests ask drizzlepac itself, in child processes and scratch folders."""

import importlib
import inspect
from pathlib import Path
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
        "drizzled": {
            product.drizzle_filename: product.haplevel
            for total in totals
            for product in (total, *total.fdp_list, *total.edp_list)
        },
        "places": [
            [total.drizzle_filename, [each.drizzle_filename for each in total.fdp_list]]
            for total in totals
        ],
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


def parsed_piece_by_piece(poller):
    """What drizzlepac's functions make of a poller, called one after the other, and of what class.

    As `poller_utils.interpret_obset_input` calls them.
    """
    from drizzlepac.haputils import poller_utils, processing_utils, product

    processing_utils.compute_sregion = lambda *args, **kwargs: None  # these have no sky
    table = poller_utils.build_poller_table(poller, 40)
    table["instrument"] = poller_utils.INSTRUMENT_DICT[table["filename"][0][0]]
    tree = poller_utils.build_obset_tree(poller_utils.sort_poller_table(table))
    described, totals = poller_utils.parse_obset_tree(tree, 40)
    filters = [each for total in totals for each in total.fdp_list]
    exposures = [one for total in totals for one in total.edp_list]
    assert all(isinstance(one, product.HAPProduct) for one in (*totals, *filters, *exposures))
    return {
        "info": {key: each["info"] for key, each in described.items() if each["info"]},
        "drizzled": {
            type(each[0]).__name__: [one.drizzle_filename for one in each]
            for each in (totals, filters, exposures)
        },
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
    """What runsinglehap makes, in the current folder, where skies can be matched."""
    from hst_assets.imaging.sky_matching import let_skies_be_matched

    let_skies_be_matched()
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


def raised_by_the_comparison_with_the_archive(mended):
    """``compare_sourcelists`` has a copy of the same function."""
    from hst_assets.hap.children import upstream_defects

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

    from hst_assets.hap.children import upstream_defects

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


def outages_of_a_question():
    """What is noted of a question to the service of the environment."""
    import requests

    from hst_assets.hap.children import upstream_defects

    upstream_defects.apply_at_import()
    from drizzlepac.haputils import astrometric_utils

    with upstream_defects.outages_noted() as outages:
        try:
            astrometric_utils.get_catalog(10.0, 20.0, sr=0.1, catalog="GAIAeDR3")
        except requests.RequestException as error:
            raised = type(error).__name__
        else:
            raised = None
    is_put_back = astrometric_utils.requests is requests
    return {"raised": raised, "outages": outages, "put back": is_put_back}


def outcomes_of_tests_that_ask_for_gaia(awaits_answer):
    """All tests of quality, each of which asks for stars and survives an outage as HAP's do."""
    from hst_assets.hap.children import quality_task

    analysis = quality_task.svm_quality_analysis

    def ask(products, *, run_find_gaia_sources, **options):
        if run_find_gaia_sources:
            try:
                analysis.au.get_catalog(10.0, 20.0, sr=0.1, catalog="GAIAeDR3")
            except Exception:
                analysis.log.exception("message")
        else:
            Path(f"{sum(1 for _ in Path().iterdir())}.json").write_text("{}")

    analysis.run_quality_analysis = ask
    return quality_task.assess({}, 20, awaits_answer=awaits_answer)


def files_asked_for_by_a_test_with_gaia(mended):
    from drizzlepac.haputils import svm_quality_analysis

    from hst_assets.hap.children.upstream_defects import name_exposures_for_quality

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

    from hst_assets.hap.children.upstream_defects import give_alignment_parameters

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


def parameters_of_another_product(path):
    """Ask for the parameters of a product that a file has none of."""
    from hst_assets.hap.children import image_task

    image_task._check_given("hst_12345_01_wfc3_ir_total_iaaa01", Path(path))


def limits_of_wfpc2(mended):
    """Concentrations between which a source is a star, and the apertures that they are of."""
    from drizzlepac.haputils.config_utils import HapConfig

    from hst_assets.hap.children.upstream_defects import give_wfpc2_its_limits

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


def match_of_several_exposures(n_exposures):
    """Mean distance, pixels in x and y, of matched detections from 150 stars; 0.17 pixels each."""
    from tweakwcs import XYXYMatch

    rng = np.random.default_rng(3)
    stars = rng.uniform(0, 1000, (150, 2))
    found = np.concatenate([stars + rng.normal(0, 0.17, stars.shape) for _ in range(n_exposures)])
    found = rng.permutation(found)
    reference = Table({"TPx": stars[:, 0], "TPy": stars[:, 1]})
    detections = Table({"TPx": found[:, 0], "TPy": found[:, 1]})
    match = XYXYMatch(searchrad=125, separation=4.0, tolerance=2.0, use2dhist=True)
    of_stars, kept = match(reference, detections)
    return (found[kept] - stars[of_stars]).mean(axis=0).tolist()


def who_lets_skies_be_matched():
    """Whether the geometry has what skypac asks for: as it is, and with HAP's work-arounds."""
    from spherical_geometry.polygon import SphericalPolygon

    before = hasattr(SphericalPolygon, "iter_polygons_flat")
    from hst_assets.hap.children import upstream_defects

    upstream_defects.apply_at_import()
    return before, hasattr(SphericalPolygon, "iter_polygons_flat")

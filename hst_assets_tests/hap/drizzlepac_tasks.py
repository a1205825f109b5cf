"""What tests ask drizzlepac itself, in child processes and scratch folders."""

import importlib
import inspect
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
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


# ---------------------------------------------------------------------------------- shortcuts


def _drizzled(path):
    """Two chips with ragged edges and bad pixels, as an image of north-up pixels."""
    random = np.random.default_rng(7)
    rows, columns = np.mgrid[:140, :170]
    first = (abs(rows - columns - 20) < 40) & (rows + columns > 60) & (rows + columns < 240)
    second = (rows - columns < -30) & (rows - columns > -75) & (rows + columns < 230)
    covered = (first | second) & (random.random(rows.shape) < 0.98)
    header = WCS(naxis=2)
    header.wcs.ctype, header.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.1, 2.2]
    header.pixel_shape = (170, 140)
    header.wcs.crpix, header.wcs.cd = [85, 70], np.diag([-0.04, 0.04]) / 3600
    image = np.where(covered, random.normal(5, 1, rows.shape), np.nan).astype(np.float32)
    plane = fits.ImageHDU(image, header.to_header(), name="SCI")
    fits.HDUList([fits.PrimaryHDU(), plane]).writeto(path, overwrite=True)


def edges_of_an_image():
    """Pixels in which masks of edges differ, with and without shortcuts, and those that are set."""
    from drizzlepac.haputils import hla_flag_filter

    from hst_assets.hap.quicker import shortcuts

    _drizzled("image.fits")
    theirs = hla_flag_filter.make_mask_array("image.fits")
    with shortcuts.in_force():
        ours = hla_flag_filter.make_mask_array("image.fits")
    return {
        "differing": int((theirs != ours).sum()),
        "types": [str(theirs.dtype), str(ours.dtype)],
        "set": int(ours.sum()),
        "size": int(ours.size),
    }


def bands_of(declinations):
    """Declinations of the bands that are found: by drizzlepac, and with shortcuts."""
    from drizzlepac.haputils import cell_utils

    from hst_assets.hap.quicker import shortcuts

    def found(dec):
        grid = cell_utils.GridDefs()
        grid._find_bands(np.array(dec))
        return [float(band["DEC"]) for band in grid.bands]

    theirs = [found(dec) for dec in declinations]
    with shortcuts.in_force():
        return [theirs, [found(dec) for dec in declinations]]


def sky_cells_of_a_file(file):
    """SKYCELL of each chip and how often the cells were looked for: with and without shortcuts."""
    from drizzlepac.haputils import cell_utils, processing_utils

    from hst_assets.hap.quicker import shortcuts

    looked = []
    original = cell_utils.GridDefs.get_sky_cells

    def counted(*args, **kwargs):
        looked.append(1)
        return original(*args, **kwargs)

    cell_utils.GridDefs.get_sky_cells = counted

    def written(name):
        with fits.open(file) as hdus:
            second = [hdu.copy() for hdu in hdus if hdu.name in ("SCI", "ERR", "DQ")]
            for hdu in second:
                hdu.ver = 2
            fits.HDUList([*hdus, *second]).writeto(name)
        processing_utils.compute_sregion(name)
        looked.clear()
        processing_utils.add_skycell_to_header(name)
        with fits.open(name) as hdus:
            cells = [hdu.header["SKYCELL"] for hdu in hdus if hdu.name == "SCI"]
        return {"cells": cells, "looked": len(looked)}

    theirs = written("hst_15999_01_wfc3_uvis_f606w_isim01a0_flc.fits")
    with shortcuts.in_force():
        ours = written("hst_15999_01_wfc3_uvis_f606w_isim01a1_flc.fits")
    return {"theirs": theirs, "ours": ours}


def lazy_properties_of_stars():
    """Those that photutils finds of a catalogue of stars, and with shortcuts."""
    from photutils.detection import daofinder

    from hst_assets.hap.quicker import shortcuts

    def found():
        stars = object.__new__(daofinder._DAOStarFinderCatalog)
        return sorted(stars._lazyproperties)

    theirs = found()
    with shortcuts.in_force():
        return [theirs, found()]


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


def stars_of_an_image():
    """Lists of an image's stars, one of them saturated: by drizzlepac, and with shortcuts."""
    from drizzlepac.haputils import astrometric_utils

    from hst_assets.hap.quicker import shortcuts

    rng = np.random.default_rng(5)
    image = rng.normal(0, 1, (300, 240)).astype(np.float32)
    rows, columns = np.mgrid[:300, :240]
    for number in range(40):
        y, x = rng.uniform(15, 285), rng.uniform(15, 225)
        distance = (rows - y) ** 2 + (columns - x) ** 2
        image += 20.0 * (number + 2) * np.exp(-distance / 4.0)
    image = np.minimum(image, 300)

    def found():
        how = {"fwhm": 3.3, "segment_threshold": np.full(image.shape, 5.0), "nlargest": 30}
        table, segments, _ = astrometric_utils.extract_sources(image.copy(), **how)
        values = {name: table[name].tolist() for name in table.colnames}
        kinds = [type(table).__name__, *(str(table[name].dtype) for name in table.colnames)]
        return {"values": values, "kinds": kinds, "segments": int(segments.nlabels)}

    theirs = found()
    with shortcuts.in_force():
        return [theirs, found()]


def points_on_arcs():
    """What lies on arcs: by spherical_geometry, with shortcuts; how many it was asked about."""
    from spherical_geometry import great_circle_arc, vector

    from hst_assets.hap.quicker.great_circles import near_points_only

    rng = np.random.default_rng(11)
    corners = np.array(
        vector.lonlat_to_vector(150 + rng.uniform(0, 0.03, 12), 2 + rng.uniform(0, 0.03, 12))
    ).T
    asked = []

    def counted(start, end, points):
        asked.append(len(points))
        return great_circle_arc.intersects_point(start, end, points)

    theirs, ours = [], []
    for start, end in zip(corners, np.roll(corners, 1, axis=0), strict=True):
        across = np.cross(start, end)
        across /= np.linalg.norm(across)
        middle = (start + end) / np.linalg.norm(start + end)
        off = [middle + step * across for step in (0.0, *np.logspace(-10, -4, 13))]
        beyond = [start + step * (start - end) for step in (1e-9, 1e-6, 1e-3)]
        points = np.array([*corners, *off, *beyond])
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        theirs.append(great_circle_arc.intersects_point(start, end, points).tolist())
        ours.append(near_points_only(counted)(start, end, points).tolist())
    return {"theirs": theirs, "ours": ours, "asked": sum(asked)}


def what_is_replaced():
    """Whether everything is drizzlepac's own again when a piece has ended."""
    from drizzlepac.haputils import (
        align_utils,
        astrometric_utils,
        catalog_utils,
        cell_utils,
        hla_flag_filter,
        processing_utils,
    )
    from spherical_geometry import great_circle_arc

    from hst_assets.hap.quicker import shortcuts

    def state():
        footprint = cell_utils.SkyFootprint
        return [
            processing_utils.get_sky_cells,
            cell_utils.GridDefs._find_bands,
            footprint.get_edges_sky,
            cell_utils.simplify,
            hla_flag_filter.make_mask_array,
            align_utils.Background2D,
            astrometric_utils.extract_sources,
            catalog_utils.Background2D,
            great_circle_arc.intersects_point,
            type(fits.conf).strip_header_whitespace,
        ]

    before = state()
    with shortcuts.in_force():
        within = state()
    return {
        "replaced": [one is not other for one, other in zip(before, within, strict=True)],
        "restored": [one is other for one, other in zip(before, state(), strict=True)],
        "setting": fits.conf.strip_header_whitespace,
    }


def gradients_of_an_image():
    """Pixels in which drizzlepac's derivative of an image and that with shortcuts differ."""
    from drizzlepac import quickDeriv

    from hst_assets.hap.quicker import shortcuts

    image = np.random.default_rng(9).normal(50, 20, (70, 90)).astype(np.float32)
    theirs = quickDeriv.qderiv(image)
    with shortcuts.in_force():
        ours = quickDeriv.qderiv(image)
    return {"differing": int((theirs != ours).sum()), "largest": float(ours.max())}


class _Kind:
    """A kind of catalogue: what it finds tells the image's background."""

    def __init__(self, image, exchanges):
        self.image, self.exchanges = image, exchanges

    def identify_sources(self, mask):
        from drizzlepac.haputils import catalog_utils

        if self.exchanges:
            self.image.bkg_background_ra = np.full(2, 9.0)
            self.image.bkg_type = "twod_background"
        else:
            catalog_utils.log.warning("seen on %s", self.image.bkg_type)
        self.sources = [mask, self.image.bkg_type, float(self.image.bkg_background_ra[0])]
        self.kernel = self.source_cat = self.total_source_cat = self.final_nsigma = None


def identified(cores, exchanges, level="info"):
    """What both kinds find, and what the second complains of, at a level of the log."""
    from drizzlepac.haputils import catalog_utils

    from hst_assets.hap.children import catalog_task

    catalog_utils.log.setLevel(level.upper())
    image = SimpleNamespace(**dict.fromkeys(catalog_task._OF_BACKGROUND))
    image.bkg_background_ra, image.bkg_type = np.full(2, 1.0), "sigma_clipped_background"
    kinds = {"segment": _Kind(image, exchanges), "aperture": _Kind(image, exchanges=False)}
    answer = catalog_task._identified(SimpleNamespace(catalogs=kinds, image=image), 7, cores)
    return {
        "found": [each["sources"]["sources"] for each in answer.values()],
        "complaints": answer["aperture"]["complaints"],
        "level": catalog_utils.log.level,
    }


def outcome_of_a_test_that_raises(level):
    """What is told of drizzlepac's count of sources, of a product that has no image."""
    from hst_assets.hap.children import quality_task

    return quality_task._outcome("compare_num_sources", [SimpleNamespace()], level)


def differing(own, usual):
    """Which parameters are not the usual ones."""
    from hst_assets.hap.children import parameter_task

    return parameter_task._differing(own, usual)

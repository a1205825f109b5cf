"""What tests ask drizzlepac with and without shortcuts, in child processes and scratch folders."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

# Imported here: once, for all processes that are forked.
from hst_assets.hap.children import piece_task as _all_of_drizzlepac  # noqa: F401


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


def names_of_sky_cells(file, places):
    """Of an exposure at some places (RA, Dec): cells by drizzlepac, by outlines, and who told."""
    from drizzlepac.haputils import cell_utils

    from hst_assets.hap.quicker import shortcuts
    from hst_assets.hap.quicker.cell_names import by_outlines

    asked = []

    def traced(names):
        asked.append(names)
        return cell_utils.get_sky_cells(names)

    told = []
    name = "hst_15999_01_wfc3_uvis_f606w_isim01a0_flc.fits"
    with shortcuts.in_force():
        quick = by_outlines(traced, cell_utils)
        for ra, dec in places:
            with fits.open(file) as hdus:
                for hdu in hdus:
                    if hdu.name == "SCI":
                        hdu.header["CRVAL1"], hdu.header["CRVAL2"] = ra, dec
                hdus.writeto(name, overwrite=True)
            theirs = list(cell_utils.get_sky_cells([name]))
            asked.clear()
            ours = list(quick([name]))
            told.append({"theirs": theirs, "ours": ours, "asked": len(asked)})
    return told


def star_on_an_empty_chip(kernel, pixfrac, light):
    """Pixels that differ where rows without light are left out, lit pixels, and rows drizzled."""
    from drizzlepac import cdriz

    from hst_assets.hap.quicker.star_models import LitRows

    rng = np.random.default_rng(2)
    chip = np.zeros((300, 80), dtype=np.float32)
    chip[140:160, 30:50] = light * rng.uniform(0, 1, (20, 20))
    weights = rng.uniform(0.5, 1, chip.shape).astype(np.float32) * (rng.random(chip.shape) < 0.98)

    class Counted:
        rows = 0

        def tdriz(self, image, *further):
            self.rows = len(image)
            return cdriz.tdriz(image, *further)

    def drizzled(tool):
        planes = [np.zeros((330, 330), dtype=kind) for kind in (np.float32, np.float32, np.int32)]
        limits = (1, 0, 1, 1, len(chip), 1.0, 1.0, 1.0, "center", pixfrac, kernel, "cps", 1.0, 1.0)
        tool.tdriz(chip.copy(), weights, *planes, *limits, "0.0", 0, 0, 1, _turned)
        return planes[0]

    counted = Counted()
    theirs, ours = drizzled(cdriz), drizzled(LitRows(counted))
    return {
        "differing": int((theirs != ours).sum()),
        "lit": int((theirs != 0).sum()),
        "rows": counted.rows,
    }


def _turned(x, y):
    """Places on an image that is turned by 30 degrees."""
    return 0.87 * x - 0.5 * y + 160.0, 0.5 * x + 0.87 * y + 5.0


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
    """Of each attribute that shortcuts replace: whether it is, and is itself again afterwards."""
    from hst_assets.hap.quicker import shortcuts

    places = []
    replaced = shortcuts._replaced

    def noted(owner, name, value):
        places.append((owner, name, vars(owner)[name]))
        return replaced(owner, name, value)

    shortcuts._replaced = noted
    with shortcuts.in_force():
        within = [vars(owner)[name] for owner, name, _ in places]
        setting = fits.conf.strip_header_whitespace
        kind = type(fits.conf).strip_header_whitespace
    return {
        "replaced": {
            f"{getattr(owner, '__name__', owner)}.{name}": found is not before
            for (owner, name, before), found in zip(places, within, strict=True)
        },
        "restored": [vars(owner)[name] is before for owner, name, before in places],
        "settings": [
            setting,
            fits.conf.strip_header_whitespace,
            kind is not type(fits.conf).strip_header_whitespace,
        ],
    }


def kinds_of_files():
    """What stsci.tools tells of names, and what is told with shortcuts."""
    from stsci.tools import fileutil

    from hst_assets.hap.quicker import shortcuts

    image = fits.ImageHDU(np.ones((3, 3), np.float32), name="SCI")
    constant = fits.PrimaryHDU()
    constant.header["PIXVALUE"] = 1.0
    fits.HDUList([fits.PrimaryHDU(), image]).writeto("extensions.fits")
    fits.PrimaryHDU(np.ones((2, 2), np.int16)).writeto("image.fits")
    fits.HDUList([fits.PrimaryHDU(np.ones((2, 2), np.int16)), image]).writeto("both.fits")
    fits.HDUList([constant, image]).writeto("constant.fits")
    fits.PrimaryHDU().writeto("nothing.fits")
    for name in ("geis.hhh", "table.csv"):
        Path(name).write_text("SIMPLE = T\n")
    names = ["extensions.fits", "image.fits", "both.fits", "constant.fits", "nothing.fits"]
    names += ["geis.hhh", "table.csv", "missing.fits"]

    def told(name):
        try:
            return list(fileutil.isFits(name))
        except OSError as error:
            return [type(error).__name__]

    theirs = {name: told(name) for name in names}
    with shortcuts.in_force():
        return [theirs, {name: told(name) for name in names}]


def star_that_drizzlepac_drizzles(kernel):
    """Pixels of a star on an empty chip that differ by drizzlepac's own call; rows drizzled."""
    from drizzlepac import adrizzle, cdriz

    from hst_assets.hap.quicker.star_models import lit_rows_only

    chip = np.zeros((300, 80), dtype=np.float32)
    chip[140:160, 30:50] = np.random.default_rng(2).uniform(0, 100, (20, 20))
    rows = []

    class Counted:
        def __getattr__(self, name):
            return getattr(cdriz, name)

        def tdriz(self, image, *further):
            rows.append(len(image))
            return cdriz.tdriz(image, *further)

    def drizzled():
        planes = [np.zeros((330, 330), dtype=kind) for kind in (np.float32, np.float32)]
        context = np.zeros((1, 330, 330), dtype=np.int32)
        weights = np.ones_like(chip)
        adrizzle.do_driz(
            *(chip.copy(), _grid(80, 300, 0.05), weights, _grid(330, 330, 0.04)),
            *(*planes, context, 1.0, "cps", 1.0),
            wcslin_pscale=0.05,
            kernel=kernel,
        )
        return planes[0]

    adrizzle.cdriz = Counted()
    theirs, ours = drizzled(), lit_rows_only(drizzled, adrizzle)()
    return {
        "differing": int((theirs != ours).sum()),
        "lit": int((theirs != 0).sum()),
        "rows": rows,
    }


def _grid(nx, ny, scale_arcsec):
    grid = WCS(naxis=2)
    grid.wcs.ctype, grid.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.1, 2.2]
    grid.wcs.crpix = [(nx + 1) / 2, (ny + 1) / 2]
    grid.wcs.cd = np.diag([-scale_arcsec, scale_arcsec]) / 3600
    grid.pixel_shape = (nx, ny)
    grid.pscale = scale_arcsec
    return grid


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

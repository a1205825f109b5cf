"""Parts of drizzlepac 3.11's HAP code that are done in less time, with the same result.

Each replaces a function of drizzlepac inside one child process, for as long as a piece runs, and
has a test that compares it with the function that it replaces. What they save is in
``docs/reference/measurements.md``.

===================================  ====================================================
replaced, in drizzlepac 3.11.0       what is saved
===================================  ====================================================
``processing_utils.get_sky_cells``   asked once for each chip of one file; traces the edge of
                                     a mask
``GridDefs._find_bands``             compares a table with each point of an outline
``SkyFootprint.get_edges_sky``       converts the same edge to the sky for each cell
``simplify_polyline.simplify``       keeps objects sorted; depends on their addresses
``ndimage`` in ``cell_utils``        fills, shrinks and smooths masks of whole images
``hla_flag_filter.make_mask_array``  squares of 625 and 961 pixels on a whole image
``align_utils.Background2D``         interpolates an image each time it is asked for
``catalog_utils.Background2D``       interpolates with a general function of scipy, takes
                                     medians one by one
``align_utils.AlignmentTable``       exposures one by one, all of them in memory
``convert_library_psf``              drizzles frames that are empty but for a star
``quickDeriv.qderiv``                ten passes over whole chips in double precision
``numpy.ma.median``                  sorts the positions of all pixels
``fileutil.isFits``                  opens a file to see whether its first unit has data
``signal`` in ``drizCR``             convolves masks with squares of ones
``intersects_point`` of arcs         computes 64 digits for points that are far from an arc
``astrometric_utils``                a table for each star, and copies of the whole list
``astropy.convolution``              sums for one pixel after the other
``photutils``                        looks up versions for each table of stars
``astropy.io.fits.conf``             looks each setting up for every card
===================================  ====================================================

Import `hst_assets.hap.children.upstream_defects` and apply it before this module.
"""

# ruff: noqa: SLF001 - what is replaced is private to the libraries

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from astropy.config import ConfigItem
from astropy.io import fits
from astropy.utils import lazyproperty
from drizzlepac import adrizzle, drizCR
from drizzlepac.haputils import (
    align_utils,
    astrometric_utils,
    catalog_utils,
    cell_utils,
    deconvolve_utils,
    hla_flag_filter,
    processing_utils,
)
from spherical_geometry import great_circle_arc as arcs
from stsci.tools import fileutil  # type: ignore[import-untyped]

from hst_assets.hap.quicker.alignment_sources import FailedMachine, alignment_table
from hst_assets.hap.quicker.backgrounds import KeptBackground, enlarged
from hst_assets.hap.quicker.cell_names import by_outlines
from hst_assets.hap.quicker.convolution import by_rows
from hst_assets.hap.quicker.cosmic_ray_masks import Counting
from hst_assets.hap.quicker.coverage import CoverageMasks, shrunk
from hst_assets.hap.quicker.footprints import edge_mask
from hst_assets.hap.quicker.great_circles import near_points_only
from hst_assets.hap.quicker.kinds_of_files import by_first_blocks
from hst_assets.hap.quicker.masked_medians import by_partition
from hst_assets.hap.quicker.outlines import corners_of
from hst_assets.hap.quicker.sky_cells import asked_once, edges_once, find_bands
from hst_assets.hap.quicker.star_lists import without_tables
from hst_assets.hap.quicker.star_models import lit_rows_only
from hst_assets.imaging.direct.cosmic_rays import gradient

__all__ = ["in_force", "load_compiled", "sources_in_children", "without_backgrounds"]

#: A module whose name is that of its function, too.
_CONVOLUTION: Any = import_module("astropy.convolution.convolve")
_PHOTUTILS: Any = import_module("photutils.utils._misc")
_PEAKS: Any = import_module("photutils.detection.peakfinder")
_STARS: Any = import_module("photutils.detection.daofinder")._DAOStarFinderCatalog


@contextmanager
def in_force() -> Iterator[None]:
    """Replace what needs no more than the caller's process."""
    footprint = cell_utils.SkyFootprint
    with ExitStack() as stack:
        for owner, name, value in (
            (
                processing_utils,
                "get_sky_cells",
                asked_once(by_outlines(processing_utils.get_sky_cells, cell_utils)),
            ),
            (cell_utils.GridDefs, "_find_bands", find_bands),
            (footprint, "get_edges_sky", edges_once(footprint.get_edges_sky)),
            (cell_utils, "simplify", corners_of),
            (cell_utils, "ndimage", CoverageMasks),
            (hla_flag_filter, "make_mask_array", edge_mask),
            (align_utils, "Background2D", KeptBackground),
            (catalog_utils, "Background2D", KeptBackground),
            (
                astrometric_utils,
                "extract_sources",
                without_tables(
                    astrometric_utils.extract_sources, astrometric_utils, _STARS, _PEAKS
                ),
            ),
            (
                deconvolve_utils,
                "convert_library_psf",
                lit_rows_only(deconvolve_utils.convert_library_psf, adrizzle),
            ),
            (np.ma, "median", by_partition(np.ma.median)),
            (fileutil, "isFits", by_first_blocks(fileutil.isFits)),
            (drizCR, "signal", Counting),
            (drizCR.quickDeriv, "qderiv", gradient),
            (arcs, "intersects_point", near_points_only(arcs.intersects_point)),
            (_CONVOLUTION, "_convolveNd_c", by_rows(_CONVOLUTION._convolveNd_c)),
            (_PHOTUTILS, "_get_version_info", cache(_PHOTUTILS._get_version_info)),
            (_STARS, "_lazyproperties", _lazy_properties(_STARS)),
        ):
            stack.enter_context(_replaced(owner, name, value))
        stack.enter_context(_settings_at_hand())
        yield


def load_compiled() -> None:
    """Run what is compiled once, so that processes forked from this one need not load it.

    That takes 0.45 s of each.
    """
    enlarged(np.zeros((2, 2)), (2, 2), (4, 4))
    shrunk(np.ones((4, 4), dtype=np.bool_), 1)


@contextmanager
def sources_in_children(cores: int) -> Iterator[None]:
    """Look for the alignment's sources in several processes.

    Parameters
    ----------
    cores : int
        How many at a time.

    Raises
    ------
    MachineFailure
        If the machine failed, which drizzlepac takes for exposures that cannot be aligned.
    """
    machine = FailedMachine()
    table = alignment_table(align_utils, cores=cores, machine=machine)
    with _replaced(align_utils, "AlignmentTable", table):
        yield
    machine.raise_if_any()


def _lazy_properties(kind: type) -> list[str]:
    """Names of a class's lazy properties; photutils looks for them whenever stars are sorted."""
    return [name for name in dir(kind) if isinstance(getattr(kind, name), lazyproperty)]


@contextmanager
def without_backgrounds() -> Iterator[None]:
    """Let catalogues that are only to be joined and written do without backgrounds of their image.

    ``hapsequencer.create_catalog_products`` keeps one ``HAPCatalogs`` of the image of all filters
    from detection to the end; a piece that joins makes another.
    """
    image = catalog_utils.CatalogImage
    with (
        _replaced(image, "compute_background", _nothing),
        _replaced(image, "build_kernel", _nothing),
        _replaced(catalog_utils, "make_wht_masks", _no_masks),
    ):
        yield


def _nothing(*_arguments: Any, **_options: Any) -> None:
    pass


def _no_masks(*_arguments: Any, **_options: Any) -> list[Any]:
    return []


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    kept = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, kept)


@contextmanager
def _settings_at_hand() -> Iterator[None]:
    """The settings of `astropy.io.fits` as plain values; nothing changes them in a piece."""
    settings = type(fits.conf)
    items = {name: item for name, item in vars(settings).items() if isinstance(item, ConfigItem)}
    with ExitStack() as stack:
        for name, item in items.items():
            stack.enter_context(_replaced(settings, name, item()))
        yield

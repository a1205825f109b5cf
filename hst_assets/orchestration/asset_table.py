"""The table of assets: one row an asset, and everything else follows from it.

Definitions, IO manager, jobs and levels, checks, sensors, sweeps, ``status``, ``clean``, the
options to redo, the tables and the picture of the documentation and the tests' stand-in science are
derived from the rows. To add an asset: a science function, a path in `hst_assets.workdir.WorkDir`,
a row here (or in `hst_assets.orchestration.hap_rows`), a page of the guide and a test.
"""

from __future__ import annotations

from hst_assets.orchestration import checks, photometry_checks, publishing_checks
from hst_assets.orchestration.asset_row import HEAVY, LIGHT, AssetRow, RedoKind, Resources
from hst_assets.orchestration.hap_rows import HAP_ROWS
from hst_assets.orchestration.levels import AssetTable
from hst_assets.publishing.selection import PUBLISHED_OF_TARGET, PUBLISHED_OF_VISIT

__all__ = ["ASSETS", "MAST_POOL"]

#: Steps that talk to MAST share this pool, whatever run they are in.
MAST_POOL = "mast"

_REDO_KINDS = (
    RedoKind(name="astrometry", help="Redo the alignment."),
    RedoKind(name="astrodrizzle", help="Redo the drizzling.", options=("--redrizzle",)),
    RedoKind(name="dolphot", help="Redo the photometry."),
    RedoKind(name="hap", help="Redo the Hubble Advanced Products."),
    RedoKind(name="publishing", help="Compare what is published, and send what the store lacks."),
)

#: What people run the job of each level for.
_PURPOSES = {
    "target_archive": "Look for a target's exposures in MAST",
    "visit_exposures": "Take in a new visit: fetch and verify its exposures, and choose among them",
    "target_frame": "Gather the visits of a target, and make the frame of everything",
    "visit_images": "Align and drizzle a new visit",
    "target_stacks": "Stack the visits of a target, and subtract epochs from each other",
    "target_pictures": "Make colour pictures of a target",
    "target_photometry": "Measure the stars of a target",
    "target_artificial_stars": "Find out how faint the stars are that are still found",
    "target_light_curve": "Measure how bright the object was, epoch by epoch",
    "target_counterpart": "Find the object on earlier images",
    "visit_advanced_products": "Make the Hubble Advanced Products of a visit",
    "visit_quality": "Test the quality of a visit's advanced products",
    "visit_products_list": "List what a visit has of its advanced products, and what it lacks",
    "visit_page": "Show a visit's advanced products on one page",
    "target_sky_cells": "Make mosaics of a target's visits, sky cell by sky cell",
    "target_page": "Show everything of a target on one page",
    "target_publication": "Publish the finished products of a target",
}

ASSETS = AssetTable(
    [
        AssetRow(
            name="archive_exposures",
            per="target",
            job="target_archive",
            group="exposures",
            description="What MAST holds for an archive target, one row per file; always queried.",
            contents="Sizes are in bytes, exposure times in seconds, dates in MJD (days). Beside "
            "it `archive_left_out.ecsv`: the excluded observations, each with the rule.",
            path="archive_listing",
            body="hst_assets.orchestration.assets.archive:archive_exposures",
            source="archive",
            checks=(checks.SOMETHING_FOUND, checks.CROSS_CHECK),
            kinds=frozenset({"table"}),
            pool=MAST_POOL,
            resources=LIGHT,
        ),
        AssetRow(
            name="raw_exposures",
            per="visit",
            job="visit_exposures",
            group="exposures",
            description="The verified, read-only exposures of a visit, with size and SHA-256 of "
            "each file. For an archive target, files of the visit that raw/ lacks are fetched from "
            "MAST first.",
            contents="One row per file, with its size in bytes. The files themselves are in "
            "`raw/`, as the archive delivered them; nothing writes to them.",
            path="raw_manifest",
            make="hst_assets.exposures.table:make_raw_manifest",
            body="hst_assets.orchestration.assets.raw:raw_exposures",
            stages=("raw_exposures",),
            source="raw",
            checks=(checks.OWN_RAW_UNTOUCHED, checks.ALL_DELIVERED),
            kinds=frozenset({"fits"}),
            pool=MAST_POOL,
            resources=LIGHT,
        ),
        AssetRow(
            name="exposure_table",
            per="visit",
            job="visit_exposures",
            group="exposures",
            description="One row per exposure of a visit: what it is, whether it is used, and if "
            "not, why.",
            contents="Exposure times in seconds, times in MJD (days, UTC), positions and "
            "orientation in degrees, zero points of each chip in AB and ST magnitudes for 1 "
            "electron per second (WFPC2: 1 DN per second).",
            path="visit_exposures",
            make="hst_assets.exposures.table:make_visit_table",
            stages=("exposure_table",),
            after=("raw_exposures",),
            checks=(checks.SOME_USED_OF_VISIT,),
            kinds=frozenset({"table"}),
            resources=LIGHT,
        ),
        AssetRow(
            name="target_exposures",
            per="target",
            job="target_frame",
            group="exposures",
            description="The exposure tables of all visits of a target, with epochs (gathers "
            "visits).",
            contents="The columns of the visits' tables, with the number of the epoch; times in "
            "MJD (days), zero points in AB and ST magnitudes.",
            path="target_exposures",
            make="hst_assets.exposures.table:make_target_table",
            stages=("target_exposures",),
            gathers="exposure_table",
            checks=(checks.SOME_USED_OF_TARGET,),
            kinds=frozenset({"table"}),
            resources=LIGHT,
        ),
        AssetRow(
            name="reference_image",
            per="target",
            job="target_frame",
            group="reference",
            description="The image that defines the frame of a target: drizzled from the best "
            "exposures, or supplied by the user.",
            contents="A FITS image: electrons per second unless `drizzle.units` is counts (SCI, "
            "ERR), weight (WHT), CTX and DQ. A reference supplied by the user is not changed.",
            path="reference_product",
            file="<inst>_<det>.<filter>.ref_<epoch>.drc.fits",
            make="hst_assets.astrometry.reference.image:make_reference",
            body="hst_assets.orchestration.assets.reference:reference_image",
            stages=("reference_image", "drizzled_image", "absolute_catalog"),
            after=("target_exposures",),
            redo=("astrometry", "astrodrizzle"),
            checks=(checks.MEMBERS_AGREE, checks.REFERENCE_SANE, checks.ABSOLUTE_FRAME),
            kinds=frozenset({"fits"}),
            resources=HEAVY,
        ),
        AssetRow(
            name="visit_reference",
            per="visit",
            job="visit_images",
            group="reference",
            description="The version of the target's reference, for its visits (scatters to "
            "visits).",
            contents="No file: its data version is that of the target's reference, so that visits "
            "become stale with it.",
            scatters="reference_image",
            kinds=frozenset({"pointer"}),
            resources=LIGHT,
        ),
        AssetRow(
            name="aligned_exposures",
            per="visit",
            job="visit_images",
            group="alignment",
            description="Working copies with their WCS on the reference frame, each judged by the "
            "gate.",
            contents="One row per exposure: shift in arcsec, rotation in degrees, residuals of "
            "matched stars in pixels and mas, the verdict and its reason. The aligned "
            "copies are `workspace/<exposure>_flc.fits` (or _flt, _c0m), in the units "
            "of the raw exposures; their logs are in `logs/`.",
            path="visit_alignment",
            make="hst_assets.astrometry.alignment:make_aligned_visit",
            stages=("aligned_exposures", "aligned_exposure", "drizzled_image"),
            after=("visit_reference", "exposure_table"),
            redo=("astrometry",),
            checks=(
                checks.SOME_ALIGNED,
                checks.ALIGNMENT_GATE,
                checks.STAR_SHAPES,
                checks.RAW_UNTOUCHED,
            ),
            kinds=frozenset({"fits"}),
            resources=HEAVY,
            cleanable={"aligned_exposure": "aligned working copies"},
        ),
        AssetRow(
            name="epoch_drizzles",
            per="visit",
            job="visit_images",
            group="drizzling",
            description="One drizzled image for each detector and filter of a visit, with weight "
            "and context.",
            contents="The index of the images `workspace/<visit>.<detector>.<filter>.drc.fits`: "
            "electrons per second unless `drizzle.units` is counts (SCI, ERR), weight "
            "(WHT, in seconds unless `drizzle.wht_type` is another), CTX and DQ; pixel "
            "scale in arcsec.",
            path="visit_products",
            make="hst_assets.imaging.drizzling:make_visit_drizzles",
            stages=("epoch_drizzles", "drizzled_image"),
            after=("aligned_exposures",),
            redo=("astrodrizzle",),
            checks=(
                checks.ALL_PRODUCTS_MADE,
                checks.ALL_COMBINED,
                checks.PRODUCTS_SANE,
                checks.RAW_UNTOUCHED,
            ),
            kinds=frozenset({"fits"}),
            resources=HEAVY,
            cleanable={"drizzled_image": "drizzled images of visits"},
        ),
        AssetRow(
            name="target_alignment",
            per="target",
            job="target_stacks",
            group="alignment",
            description="The alignment of all exposures of a target, with the matched stars "
            "(gathers visits).",
            contents="HDF5: the rows of all visits (pixels, mas, arcsec), and the matched stars "
            "with their positions (pixels) and residuals.",
            path="target_alignment",
            make="hst_assets.astrometry.alignment:make_target_alignment",
            stages=("target_alignment",),
            gathers="aligned_exposures",
            kinds=frozenset({"hdf5"}),
            resources=LIGHT,
        ),
        AssetRow(
            name="drizzled_stacks",
            per="target",
            job="target_stacks",
            group="drizzling",
            description="Stacks for each instrument, filter and epoch, and for each filter over "
            "all epochs.",
            contents="The index of the images `drizzle/<detector>.<filter>.*.drc.fits`: "
            "electrons per second unless `drizzle.units` is counts (SCI, ERR), weight "
            "(WHT), CTX and DQ; pixel scale in arcsec.",
            path="stack_products",
            make="hst_assets.imaging.drizzling:make_stacks",
            stages=("drizzled_stacks", "drizzled_image"),
            after=("target_exposures", "target_alignment"),
            redo=("astrodrizzle",),
            checks=(
                checks.ALL_PRODUCTS_MADE,
                checks.ALL_COMBINED,
                checks.PRODUCTS_SANE,
                checks.RAW_UNTOUCHED,
            ),
            kinds=frozenset({"fits"}),
            resources=HEAVY,
        ),
        AssetRow(
            name="epoch_differences",
            per="target",
            job="target_stacks",
            group="drizzling",
            description="Each epoch minus the template epoch of its detector and filter, with "
            "errors and flags.",
            contents="The index of the images "
            "`drizzle/<detector>.<filter>.diff_<epoch>-<template>.fits`: SCI and ERR in "
            "the units of the stacks, flags in DQ. Sources that brightened are positive.",
            path="difference_products",
            make="hst_assets.imaging.differences.batch:make_differences",
            stages=("epoch_differences", "difference_image"),
            after=("drizzled_stacks",),
            redo=("astrodrizzle",),
            checks=(checks.ALL_DIFFERENCES_MADE, checks.DIFFERENCES_SANE),
            kinds=frozenset({"fits"}),
            resources=HEAVY,
        ),
        AssetRow(
            name="colour_images",
            per="target",
            job="target_pictures",
            group="drizzling",
            description="Colour pictures, one for each detector with stacks in two filters or "
            "more.",
            contents="The index of the PNG pictures `drizzle/<detector>.colour.png`, on the "
            "reference frame; without units.",
            path="colour_images",
            make="hst_assets.imaging.colour_images:make_colour_images",
            stages=("colour_images", "colour_image"),
            after=("drizzled_stacks",),
            redo=("astrodrizzle",),
            checks=(checks.ALL_PRODUCTS_MADE,),
            kinds=frozenset({"png"}),
            resources=Resources(memory_gb=2.0),
        ),
        AssetRow(
            name="dolphot_inputs",
            per="target",
            job="target_photometry",
            group="photometry",
            description="Chips of the aligned exposures and of the reference, masked and split, "
            "with the sky under their stars: what DOLPHOT and the embedded photometer read.",
            contents="One row per chip; times in seconds and MJD (days), positions in pixels, read "
            "noise in electrons. The chips and their skies are in `dolphot/inputs/`.",
            path="dolphot_inputs",
            make="hst_assets.photometry.dolphot.inputs:make_dolphot_inputs",
            wanted="photometry.make",
            stages=("dolphot_inputs", "dolphot_chips"),
            # Reference and table of exposures have come into the alignment: by themselves they
            # would have the chips made before the alignment follows.
            after=("target_alignment",),
            redo=("dolphot",),
            checks=(photometry_checks.ALL_PREPARED, checks.RAW_UNTOUCHED),
            kinds=frozenset({"fits"}),
            resources=Resources(memory_gb=4.0, cores=2),
        ),
        AssetRow(
            name="dolphot_catalog",
            per="target",
            job="target_photometry",
            group="photometry",
            description="Positions and magnitudes of the stars in all exposures of a target, by "
            "DOLPHOT or the embedded photometer: its catalogue as it wrote it, and as HDF5.",
            contents="The index of the catalogue `dolphot/<base>`, whose columns "
            "`<base>.columns` names (pixels of the reference image, counts, VEGAMAG "
            "magnitudes), and of `<base>.h5`, where each column has its unit. Its "
            "column `photometer` says which of the two ran.",
            path="star_catalog",
            make="hst_assets.photometry.star_catalog:make_star_catalog",
            wanted="photometry.make",
            stages=("star_catalog", "dolphot_catalog", "embedded_catalog"),
            after=("dolphot_inputs",),
            tells=True,
            redo=("dolphot",),
            checks=(photometry_checks.PHOTOMETER_WARNINGS, photometry_checks.STARS_LEFT),
            kinds=frozenset({"hdf5", "table"}),
            resources=Resources(memory_gb=8.0, cores=2),
        ),
        AssetRow(
            name="artificial_stars",
            per="target",
            job="target_artificial_stars",
            group="photometry",
            description="Completeness, bias and scatter against magnitude, from artificial stars "
            "that are added to the exposures and measured like real ones.",
            contents="One row per filter and bin of true magnitude (Vega): the fraction recovered "
            "with its interval, bias and scatter in magnitudes.",
            path="completeness",
            make="hst_assets.photometry.artificial_stars.product:make_artificial_stars",
            wanted="photometry.artificial_stars",
            stages=("artificial_stars", "artificial_chunk"),
            after=("dolphot_catalog",),
            tells=True,
            redo=("dolphot",),
            checks=(photometry_checks.ALL_LISTS_MEASURED, photometry_checks.LIMITS_REACHED),
            kinds=frozenset({"table"}),
            resources=Resources(memory_gb=8.0, cores=2),
        ),
        AssetRow(
            name="light_curve",
            per="target",
            job="target_light_curve",
            group="photometry",
            description="The target's flux and magnitude in each exposure, epoch and filter, with "
            "upper limits where it is not detected.",
            contents="One row per point: flux and error in microjansky, AB, ST and Vega "
            "magnitudes, limits in AB magnitudes, time in MJD (days, middle of the "
            "exposures). Beside it figures, `.phot` and `.snana` files.",
            path="light_curve",
            make="hst_assets.photometry.light_curve.product:make_light_curve",
            wanted="light_curve.make",
            stages=("light_curve", "surroundings"),
            after=("dolphot_catalog", "epoch_differences"),
            follows=("artificial_stars",),
            redo=("dolphot",),
            checks=(
                photometry_checks.ALL_METHODS_MEASURED,
                photometry_checks.METHODS_AGREE,
                photometry_checks.STAR_OF_TARGET,
            ),
            kinds=frozenset({"table"}),
            resources=Resources(memory_gb=8.0, cores=2),
        ),
        AssetRow(
            name="counterpart",
            per="target",
            job="target_counterpart",
            group="photometry",
            description="The counterpart of an object in earlier images: candidates with the "
            "probabilities of their offsets and of chance coincidence, limits, and later "
            "brightness.",
            contents="One row per candidate: position in degrees (ICRS), separation and errors in "
            "mas, probabilities between 0 and 1. Beside it `counterpart.png` and the "
            "verdict in words.",
            path="counterpart",
            make="hst_assets.counterpart.product:make_counterpart",
            wanted="counterpart.ra_deg",
            stages=("counterpart", "surroundings"),
            after=("dolphot_catalog", "epoch_differences", "target_alignment"),
            follows=("artificial_stars",),
            redo=("dolphot",),
            checks=(photometry_checks.ERROR_CIRCLE_TOLD, photometry_checks.COUNTERPART_CLEAR),
            kinds=frozenset({"table"}),
            resources=Resources(memory_gb=4.0, cores=2),
        ),
        *HAP_ROWS,
        AssetRow(
            name="target_report",
            per="target",
            job="target_page",
            group="report",
            description="A page with all products of a target, in one file that works offline.",
            contents="HTML with embedded pictures and plots.",
            path="report",
            make="hst_assets.report.page:make_target_report",
            stages=("target_report",),
            after=("target_exposures",),
            follows=(
                "target_alignment",
                "drizzled_stacks",
                "epoch_differences",
                "colour_images",
                "dolphot_catalog",
                "artificial_stars",
                "light_curve",
                "counterpart",
            ),
            kinds=frozenset({"html"}),
            resources=Resources(memory_gb=2.0),
        ),
        AssetRow(
            name="published_products",
            per="target",
            job="target_publication",
            group="publishing",
            description="The finished products of a target on S3-compatible storage, with their "
            "records and a manifest.",
            contents="JSON: the destination and, for each file, its object, size in bytes, "
            "SHA-256, the recipe that made it, and how it was verified there.",
            path="published",
            make="hst_assets.publishing.product:make_published",
            wanted="publish.destination",
            stages=("published_products",),
            after=("target_exposures",),
            follows=tuple(name for name in PUBLISHED_OF_TARGET if name != "target_exposures"),
            follows_visits=tuple(PUBLISHED_OF_VISIT),
            copies=True,
            tells=True,
            tries_again=True,
            redo=("publishing",),
            checks=(publishing_checks.ALL_PUBLISHED, publishing_checks.PUBLICATION_VERIFIED),
            kinds=frozenset({"json"}),
            resources=LIGHT,
        ),
    ],
    _REDO_KINDS,
    _PURPOSES,
)

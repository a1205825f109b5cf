"""The table of assets: one row an asset, and everything else follows from it.

Definitions, IO manager, jobs and levels, checks, sensors, sweeps, ``status``, ``clean``, the
options to redo, the tables and the picture of the documentation and the tests' stand-in science are
derived from the rows. To add an asset: a science function, a path in `hst_assets.workdir.WorkDir`,
a row here, a page of the guide and a test.
"""

from __future__ import annotations

from hst_assets.orchestration import checks, photometry_checks
from hst_assets.orchestration.levels import AssetRow, AssetTable, RedoKind, Resources

__all__ = ["ASSETS", "MAST_POOL"]

#: Steps that talk to MAST share this pool, whatever run they are in.
MAST_POOL = "mast"

_REDO_KINDS = (
    RedoKind(name="astrometry", help="Redo the alignment."),
    RedoKind(name="astrodrizzle", help="Redo the drizzling.", options=("--redrizzle",)),
    RedoKind(name="dolphot", help="Redo the photometry."),
)

#: Reading headers and hashing files.
_LIGHT = Resources()
#: Tools on whole frames: two at a time (machine.max_cores), each with a pair of 4096 x 2051 chips.
_HEAVY = Resources(memory_gb=8.0, cores=2)

ASSETS = AssetTable(
    [
        AssetRow(
            name="archive_exposures",
            per="target",
            job="target_archive",
            group="exposures",
            description="What MAST holds for an archive target, one row a file; always asked anew.",
            path="archive_listing",
            body="hst_assets.orchestration.assets.archive:archive_exposures",
            source="archive",
            checks=(checks.SOMETHING_FOUND, checks.CROSS_CHECK),
            kinds=frozenset({"table"}),
            pool=MAST_POOL,
            resources=_LIGHT,
        ),
        AssetRow(
            name="raw_exposures",
            per="visit",
            job="visit_exposures",
            group="exposures",
            description="The verified, read-only exposures of a visit, with size and SHA-256 of "
            "each file. Of an archive target, what MAST has of the visit and raw/ lacks is fetched "
            "first.",
            path="raw_manifest",
            make="hst_assets.exposures.table:make_raw_manifest",
            body="hst_assets.orchestration.assets.raw:raw_exposures",
            stages=("raw_exposures",),
            source="raw",
            checks=(checks.OWN_RAW_UNTOUCHED, checks.ALL_DELIVERED),
            kinds=frozenset({"fits"}),
            pool=MAST_POOL,
            resources=_LIGHT,
        ),
        AssetRow(
            name="exposure_table",
            per="visit",
            job="visit_exposures",
            group="exposures",
            description="One row an exposure of a visit: what it is, whether it is used, and why "
            "not if not.",
            path="visit_exposures",
            make="hst_assets.exposures.table:make_visit_table",
            stages=("exposure_table",),
            after=("raw_exposures",),
            checks=(checks.SOME_USED_OF_VISIT,),
            kinds=frozenset({"table"}),
            resources=_LIGHT,
        ),
        AssetRow(
            name="target_exposures",
            per="target",
            job="target_frame",
            group="exposures",
            description="The exposure tables of all visits of a target, with epochs (gathers "
            "visits).",
            path="target_exposures",
            make="hst_assets.exposures.table:make_target_table",
            stages=("target_exposures",),
            gathers="exposure_table",
            checks=(checks.SOME_USED_OF_TARGET,),
            kinds=frozenset({"table"}),
            resources=_LIGHT,
        ),
        AssetRow(
            name="reference_image",
            per="target",
            job="target_frame",
            group="reference",
            description="The one frame of everything: drizzled from the exposures that serve best, "
            "or the user's.",
            path="reference_product",
            file="<inst>_<det>.<filter>.ref_<epoch>.drc.fits",
            make="hst_assets.astrometry.reference.image:make_reference",
            body="hst_assets.orchestration.assets.reference:reference_image",
            stages=("reference_image", "drizzled_image", "absolute_catalog"),
            after=("target_exposures",),
            redo=("astrometry", "astrodrizzle"),
            checks=(checks.MEMBERS_AGREE, checks.REFERENCE_SANE, checks.ABSOLUTE_FRAME),
            kinds=frozenset({"fits", "astrodrizzle"}),
            resources=_HEAVY,
        ),
        AssetRow(
            name="visit_reference",
            per="visit",
            job="visit_images",
            group="reference",
            description="The version of the target's reference as its visits see it (scatters to "
            "visits).",
            scatters="reference_image",
            kinds=frozenset({"pointer"}),
            resources=_LIGHT,
        ),
        AssetRow(
            name="aligned_exposures",
            per="visit",
            job="visit_images",
            group="alignment",
            description="Working copies with their WCS on the reference frame, each judged by the "
            "gate.",
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
            kinds=frozenset({"fits", "tweakreg"}),
            resources=_HEAVY,
            cleanable={"aligned_exposure": "aligned working copies"},
        ),
        AssetRow(
            name="epoch_drizzles",
            per="visit",
            job="visit_images",
            group="drizzling",
            description="One drizzled image for each detector and filter of a visit, with weight "
            "and context.",
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
            kinds=frozenset({"fits", "astrodrizzle"}),
            resources=_HEAVY,
            cleanable={"drizzled_image": "drizzled images of visits"},
        ),
        AssetRow(
            name="target_alignment",
            per="target",
            job="target_stacks",
            group="alignment",
            description="The alignment of all exposures of a target with the stars behind it "
            "(gathers visits).",
            path="target_alignment",
            make="hst_assets.astrometry.alignment:make_target_alignment",
            stages=("target_alignment",),
            gathers="aligned_exposures",
            kinds=frozenset({"hdf5"}),
            resources=_LIGHT,
        ),
        AssetRow(
            name="drizzled_stacks",
            per="target",
            job="target_stacks",
            group="drizzling",
            description="Stacks for each instrument, filter and epoch, and for each filter over "
            "all epochs.",
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
            kinds=frozenset({"fits", "astrodrizzle"}),
            resources=_HEAVY,
        ),
        AssetRow(
            name="epoch_differences",
            per="target",
            job="target_stacks",
            group="drizzling",
            description="Each epoch minus the template epoch of its detector and filter, with "
            "errors and flags.",
            path="difference_products",
            make="hst_assets.imaging.differences.batch:make_differences",
            stages=("epoch_differences", "difference_image"),
            after=("drizzled_stacks",),
            redo=("astrodrizzle",),
            checks=(checks.ALL_DIFFERENCES_MADE, checks.DIFFERENCES_SANE),
            kinds=frozenset({"fits"}),
            resources=_HEAVY,
        ),
        AssetRow(
            name="colour_images",
            per="target",
            job="target_pictures",
            group="drizzling",
            description="Colour pictures, one for each detector with stacks in two filters or "
            "more.",
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
            description="Completeness, bias and scatter against magnitude, from stars that were "
            "put into the exposures and measured like real ones.",
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
            description="How bright the target is in each exposure, epoch and filter, and how "
            "faint it could have been where nothing is seen.",
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
            description="Which source of the earlier images is the object at one place: candidates "
            "with the probabilities of their offsets and of chance, limits, what became of them.",
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
        AssetRow(
            name="target_report",
            per="target",
            job="target_page",
            group="exposures",
            description="One page with everything there is of a target, in one file that works "
            "offline.",
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
    ],
    _REDO_KINDS,
)

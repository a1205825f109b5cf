"""The stages that make products, and the version of each stage's code.

A stage's version is raised when its own code changes what it makes: products of another version
are made again. Nobody has to remember it. The fingerprint of the code behind each stage is kept in
``hst_assets_tests/fingerprints.json``, and a test fails while it does not fit: then either the
version is raised here, or ``make fingerprints UNCHANGED="stage ..."`` says that results are the
same (see docs/reference/provenance.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hst_assets.failures import BadConfiguration

__all__ = ["STAGES", "Stage", "code_version_of", "code_versions", "figures_read_by"]


@dataclass(frozen=True)
class Stage:
    """One step that makes products with records.

    Attributes
    ----------
    version : str
        Version of its code.
    code : tuple of str
        The functions whose code, with all that it calls, decides the products:
        ``package.module:function``. What these call of another stage's belongs to the other.
    figures : tuple of str
        The figures of a detector (`hst_assets.detectors.Detector.figures`) that this code reads.
    """

    version: str
    code: tuple[str, ...]
    figures: tuple[str, ...] = ()


_OF_ALIGNMENT = (
    "chip_patterns",
    "clean_cosmic_rays",
    "dq_bad",
    "dq_cosmic_ray",
    "dq_saturated",
    "flat_scales_arcsec",
    "full_shape",
    "fwhm_pix",
    "gain_e_per_dn",
    "lacosmic",
    "match_tolerance_pix",
    "n_chips",
    "pixel_scale_arcsec",
    "rate_units",
    "read_noise_e",
    "saturation_e",
    "science_units",
    "widest_star_pix",
)
_OF_DRIZZLING = (
    "chip_patterns",
    "clean_cosmic_rays",
    "dq_saturated",
    "driz_cr_scale",
    "driz_cr_snr",
    "drizzle_good_bits",
    "drizzle_scale_arcsec",
    "flat_scales_arcsec",
    "full_shape",
    "fwhm_pix",
    "gain_e_per_dn",
    "lacosmic",
    "n_chips",
    "pixel_scale_arcsec",
    "rate_units",
    "read_modes",
    "read_noise_e",
    "saturation_e",
    "science_units",
    "typical_dark_e_per_s",
)
_OF_DOLPHOT = (
    "clean_cosmic_rays",
    "flat_scales_arcsec",
    "full_shape",
    "gain_e_per_dn",
    "lacosmic",
    "n_chips",
    "rate_units",
    "read_noise_e",
    "saturation_e",
    "science_units",
)
_OF_DIFFERENCES = (
    "clean_cosmic_rays",
    "fwhm_pix",
    "pixel_scale_arcsec",
    "read_noise_e",
    "saturation_e",
    "science_units",
)

#: Figures of a detector with which the embedded photometer measures.
_MEASURED_WITH = (
    "clean_cosmic_rays",
    "flat_scales_arcsec",
    "full_shape",
    "fwhm_pix",
    "gain_e_per_dn",
    "lacosmic",
    "n_chips",
    "pixel_scale_arcsec",
    "read_noise_e",
    "saturation_e",
)

#: Every stage by the name that its records carry.
STAGES: dict[str, Stage] = {
    "raw_exposures": Stage("1", ("hst_assets.exposures.table:make_raw_manifest",)),
    # 2: zero points are those of the exposure's own filter, calibrations are compared; passbands of
    # ramps and quads, units, charge; QUALITY is read, guiding has its columns.
    "exposure_table": Stage(
        "2",
        ("hst_assets.exposures.table:make_visit_table",),
        figures=(
            "chip_patterns",
            "full_shape",
            "n_chips",
            "pixel_scale_arcsec",
            "rate_units",
            "science_units",
        ),
    ),
    "target_exposures": Stage("1", ("hst_assets.exposures.table:make_target_table",)),
    "absolute_catalog": Stage(
        "1", ("hst_assets.astrometry.absolute.catalog:make_absolute_catalog",)
    ),
    # 6: fine lock is worth half of the exposure time; the next best choice after one that cannot be
    # used; trails of lost charge are doubtful, galaxies no stars; of exposures as well.
    "reference_image": Stage(
        "6",
        ("hst_assets.astrometry.reference.image:make_reference",),
        figures=(*_OF_ALIGNMENT, "drizzle_good_bits", "drizzle_scale_arcsec"),
    ),
    # 6: as the reference's.
    "aligned_exposure": Stage(
        "6",
        (
            "hst_assets.astrometry.alignment:_job",
            "hst_assets.astrometry.alignment:_batch",
        ),
        figures=_OF_ALIGNMENT,
    ),
    # 4: columns of shapes, and exposures left out by them; which exposures did not pass, with their
    # numbers, and which define the frame, are facts.
    "aligned_exposures": Stage("4", ("hst_assets.astrometry.alignment:make_aligned_visit",)),
    "target_alignment": Stage("4", ("hst_assets.astrometry.alignment:make_target_alignment",)),
    # 7: the noise of a line through a ramp's reads, dark current where no header tells it, WFPC2's
    # saturation by its gain, and its chips without a zero point on one gain; exposures are counted,
    # not their chips.
    "drizzled_image": Stage(
        "7",
        (
            "hst_assets.imaging.astrodrizzle.run:drizzle_many",
            "hst_assets.imaging.drizzling:_drizzle",
            "hst_assets.imaging.plan:products_of_visit",
            "hst_assets.imaging.plan:stacks_of_target",
        ),
        figures=_OF_DRIZZLING,
    ),
    # 4 of both: what could not be compared has a column; bands that a full disk or a process that
    # was lost cost, which "3" kept as final, are tried again.
    "epoch_drizzles": Stage("4", ("hst_assets.imaging.drizzling:make_visit_drizzles",)),
    "drizzled_stacks": Stage("4", ("hst_assets.imaging.drizzling:make_stacks",)),
    # 3: epochs without comparable zero points are not scaled, and it is said.
    "difference_image": Stage(
        "3",
        (
            "hst_assets.imaging.differences.batch:_subtracted",
            "hst_assets.imaging.differences.batch:_pairs",
        ),
        figures=_OF_DIFFERENCES,
    ),
    # 3: what could not be compared has a column; the floor of the stars' errors; epochs without
    # one zero point are a problem.
    "epoch_differences": Stage("3", ("hst_assets.imaging.differences.batch:make_differences",)),
    "colour_image": Stage("1", ("hst_assets.imaging.colour_images:_combined",)),
    "colour_images": Stage("1", ("hst_assets.imaging.colour_images:make_colour_images",)),
    # 2: the images are in the recipe; WFPC2 is corrected for charge transfer beside WFC3.
    "dolphot_catalog": Stage(
        "2", ("hst_assets.photometry.dolphot.catalog_run:make_dolphot_catalog",)
    ),
    # 2: the alignments are in the recipe; lost charge is told image by image. Stamps of
    # stars that make PSFs are kept in single precision; pixels near stars that one exposure alone
    # has too bright are masked. 3: pieces of galaxies have type 5; detections of one star that
    # moves are joined; on WFPC2, faint stars lose charge as one of two standard errors does.
    # 4: errors hold what is left about a star beyond noise; the sky of aperture corrections is not
    # too low by the tail of the counts. 5: aperture corrections of images that share a PSF hold
    # what the others say, and no light that is not the stars'. 6: errors hold what a PSF of another
    # width makes of fluxes; fewer stars make a PSF vary. 7: noise alone enlarges no errors; where
    # no stars make a PSF, faint ones tell its width. 8: stars between the wide pixels of WFC3/IR
    # and WFPC2 are found as well as those in their middles.
    "embedded_catalog": Stage(
        "8",
        (
            "hst_assets.photometry.psf.catalog_run:make_embedded_catalog",
            "hst_assets.photometry.psf.epsf_task:fit_psf",
            "hst_assets.photometry.psf.tile_task:find_bright_stars",
            "hst_assets.photometry.psf.tile_task:measure_tile",
        ),
        figures=_MEASURED_WITH,
    ),
    # 2: detections of one star that moves are joined. 3: the sky of aperture corrections is not too
    # low by the tail of the counts. 4: aperture corrections as those of the catalogue. 5: fewer
    # stars make a PSF vary. 6: where no stars make a PSF, faint ones tell its width. 7: stars
    # between wide pixels are found.
    "surroundings": Stage(
        "7",
        (
            "hst_assets.photometry.light_curve.kept_measurement:make_surroundings",
            "hst_assets.photometry.psf.epsf_task:fit_psf",
            "hst_assets.photometry.psf.tile_task:find_bright_stars",
            "hst_assets.photometry.psf.tile_task:measure_tile",
        ),
        figures=_MEASURED_WITH,
    ),
    # 2: the time of an exposure that lacks a keyword of it.
    "dolphot_chips": Stage(
        "3",
        (
            "hst_assets.photometry.dolphot.inputs:_exposure",
            "hst_assets.photometry.dolphot.inputs:_prepared",
            "hst_assets.photometry.dolphot.inputs:_reference",
            "hst_assets.photometry.dolphot.inputs_task:prepare",
        ),
        figures=_OF_DOLPHOT,
    ),
    # 2: filters of two instruments, or of one image; stars count where they are seen.
    # 3: a filter without a zero point of Vega is drawn, too.
    "star_catalog": Stage("3", ("hst_assets.photometry.star_catalog:make_star_catalog",)),
    # 2: filters of one image; cuts no longer decide which stars are put in.
    "artificial_chunk": Stage(
        "2",
        (
            "hst_assets.photometry.artificial_stars.chunk_task:measure_list",
            "hst_assets.photometry.artificial_stars.product:_Run",
        ),
    ),
    # 2: on WFPC2, faint stars lose charge as one of two standard errors does; those that are found
    # with a galaxy's pieces have type 5. 3: errors are those of the catalogue's stars. 4: they hold
    # what a PSF of another width makes of fluxes. 5: noise alone enlarges no errors; on coarser
    # detectors they hold what is left as far as the catalogue's do. 6: they are found between wide
    # pixels as the catalogue's are.
    "embedded_artificial_chunk": Stage(
        "6",
        (
            "hst_assets.photometry.psf.artificial_stars_task:measure_list",
            "hst_assets.photometry.artificial_stars.product:_Run",
        ),
        figures=("flat_scales_arcsec", "full_shape", "n_chips", "read_noise_e"),
    ),
    # 2: filters of two instruments, or of one image. 3: the table says what is not simulated.
    "artificial_stars": Stage(
        "3", ("hst_assets.photometry.artificial_stars.product:make_artificial_stars",)
    ),
    "dolphot_inputs": Stage("1", ("hst_assets.photometry.dolphot.inputs:make_dolphot_inputs",)),
    # 2: errors of differences by what constant stars leave under the same weights; means of forced
    # fluxes by the noise of the mean light; images whose lost charge is not corrected are named;
    # forced fluxes at a star that moves, and that it does. 3: errors hold what a PSF of another
    # width makes of fluxes.
    "light_curve": Stage(
        "3",
        (
            "hst_assets.photometry.light_curve.product:make_light_curve",
            "hst_assets.photometry.light_curve.forced_task:measure",
        ),
        figures=("fwhm_pix", "n_chips", "pixel_scale_arcsec", "read_noise_e"),
    ),
    # 2: centroids of the brightest pixel; what is gone, not covered or not decided.
    # 3: the floor of centroids that are bounded; the chance of bright sources by the whole field;
    # versions of the stacks' own software; limits of each epoch; of artificial stars, what of.
    # 4: enough pixels on WFC3/IR for a centroid.
    "counterpart": Stage(
        "4",
        ("hst_assets.counterpart.product:make_counterpart",),
        figures=("fwhm_pix", "n_chips", "pixel_scale_arcsec", "read_noise_e"),
    ),
    # 2: skies of exposures are matched, whatever the process did before.
    "hap_mosaic": Stage(
        "2",
        (
            "hst_assets.hap.mosaics.mosaic:_published",
            "hst_assets.hap.children.mosaic_task:make_layer",
        ),
    ),
    "hap_target_exposures": Stage(
        "1", ("hst_assets.hap.mosaics.target_mosaics:make_hap_target_exposures",)
    ),
    # 2: the index tells which exposures are left out.
    "hap_mosaics": Stage(
        "2",
        (
            "hst_assets.hap.mosaics.mosaic:make_mosaics",
            "hst_assets.hap.mosaics.target_mosaics:make_hap_mosaics",
        ),
    ),
    "hap_plan": Stage(
        "1",
        (
            "hst_assets.hap.visits.plan:make_hap_plan",
            "hst_assets.hap.children.image_task:plan",
            "hst_assets.hap.children.parameter_task:tell",
        ),
    ),
    "hap_alignment": Stage(
        "1", ("hst_assets.hap.visits.aligned:_align", "hst_assets.hap.children.image_task:align")
    ),
    "hap_aligned_exposures": Stage(
        "1", ("hst_assets.hap.visits.aligned:make_hap_aligned_exposures",)
    ),
    # 2: skies of exposures are matched, whatever the process did before.
    "hap_filter": Stage(
        "2",
        (
            "hst_assets.hap.visits.filter_images:_drizzle_filters",
            "hst_assets.hap.children.image_task:drizzle_filter",
            "hst_assets.hap.children.image_task:finish_header",
        ),
    ),
    "hap_filter_products": Stage(
        "1", ("hst_assets.hap.visits.filter_images:make_hap_filter_products",)
    ),
    "hap_exposure": Stage("1", ("hst_assets.hap.visits.exposure_images:_finish_exposures",)),
    "hap_exposure_products": Stage(
        "1", ("hst_assets.hap.visits.exposure_images:make_hap_exposure_products",)
    ),
    # 2: skies of exposures are matched, whatever the process did before.
    "hap_total": Stage(
        "2",
        (
            "hst_assets.hap.visits.total_images:_drizzle_totals",
            "hst_assets.hap.children.image_task:drizzle_total",
        ),
    ),
    "hap_total_products": Stage(
        "1", ("hst_assets.hap.visits.total_images:make_hap_total_products",)
    ),
    "hap_catalog": Stage(
        "1",
        (
            "hst_assets.hap.visits.catalogs:_measure",
            "hst_assets.hap.children.catalog_task:combine",
            "hst_assets.hap.children.catalog_task:detect",
            "hst_assets.hap.children.catalog_task:measure",
        ),
    ),
    # 2: rows of filters that were not drizzled; the segment catalogues, too.
    "hap_point_catalogs": Stage("2", ("hst_assets.hap.visits.catalogs:make_hap_point_catalogs",)),
    "hap_hla_comparison": Stage(
        "1",
        (
            "hst_assets.hap.visits.hla_comparison:make_hap_hla_comparison",
            "hst_assets.hap.children.hla_comparison_task:compare",
        ),
    ),
    # 2: the verdict on each kind of test.
    "hap_quality": Stage(
        "2",
        (
            "hst_assets.hap.visits.quality_tests:make_hap_quality",
            "hst_assets.hap.children.quality_task:assess",
        ),
    ),
    "hap_page": Stage("1", ("hst_assets.hap.visits.page_file:make_hap_page",)),
    "hap_manifest": Stage("1", ("hst_assets.hap.visits.manifest:make_hap_manifest",)),
    "hap_segment_catalogs": Stage(
        "2", ("hst_assets.hap.visits.catalogs:make_hap_segment_catalogs",)
    ),
    "target_report": Stage("2", ("hst_assets.report.page:make_target_report",)),
    "published_products": Stage("1", ("hst_assets.publishing.product:make_published",)),
}


def code_versions(stages: Iterable[str]) -> dict[str, str]:
    """The version of each stage's code, by its name.

    Raises
    ------
    BadConfiguration
        If a name is not in `STAGES`.
    """
    names = list(stages)
    if unknown := sorted(set(names) - set(STAGES)):
        raise BadConfiguration(
            f"unknown stage {', '.join(unknown)}",
            where="hst_assets/stages.py",
            next_step="Give it a row in STAGES, with its version and entry points",
        )
    return {name: STAGES[name].version for name in names}


def figures_read_by(stages: Iterable[str]) -> list[str]:
    """The figures of a detector that any of these stages reads; of unknown stages, none."""
    known = [STAGES[name].figures for name in stages if name in STAGES]
    return sorted({figure for figures in known for figure in figures})


def code_version_of(*stages: str) -> str:
    """The versions of an asset's stages in one text: Dagster's ``code_version`` of the asset.

    Parameters
    ----------
    *stages : str
        Names in `STAGES`.

    Returns
    -------
    str
        Such as ``"drizzled_image 4, epoch_drizzles 3"``.
    """
    versions = code_versions(sorted(stages))
    return ", ".join(f"{name} {version}" for name, version in versions.items())

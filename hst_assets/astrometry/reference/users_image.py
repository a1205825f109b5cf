"""An image of the user's own as the reference; it is only read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from astropy.io import fits

from hst_assets.astrometry.absolute.catalog import read_absolute_catalog
from hst_assets.astrometry.absolute.frame import Tie, image_tie
from hst_assets.astrometry.exposure_field import star_fwhm_pix
from hst_assets.astrometry.recipes import TOOLS, default_alignment, uses_absolute_catalog
from hst_assets.astrometry.reference.frame import (
    DRIZZLE_BLUR,
    STAGE,
    absolute_input,
    absolute_noted,
    settings_digest,
    tie_noted,
    write_note,
)
from hst_assets.astrometry.reference.stars import catalogue_of_image
from hst_assets.detectors import Detector, detector_for
from hst_assets.failures import BadConfiguration, UnusableInput
from hst_assets.imaging.frames import orientation_of
from hst_assets.provenance import Made, Recipe, Result, make, sha256_of_file
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir, write_atomically

__all__ = ["take_users_image"]

#: FWHM of a star on a reference image of unknown origin.
_UNKNOWN_FWHM_ARCSEC = 0.1


def take_users_image(workdir: WorkDir, settings: Settings, image: Path, *, redo: bool) -> Made:
    """Take the user's image for the reference.

    Parameters
    ----------
    workdir : WorkDir
        Of the target.
    settings : Settings
        Sections reference, alignment, gate, catalog and machine.
    image : `~pathlib.Path`
        Relative paths are from the work directory.
    redo : bool
        Take it anew.

    Raises
    ------
    BadConfiguration
        If it is not there.
    UnusableInput
        If it has no celestial WCS, or no stars are found on it.
    """
    path = image if image.is_absolute() else workdir.base / image
    if not path.is_file():
        raise BadConfiguration("the reference image does not exist", where=path)
    recipe = Recipe(
        stage=STAGE,
        inputs={"image": sha256_of_file(path), **absolute_input(workdir, settings)},
        settings=_users_image_settings(path, settings),
        defaults=default_alignment(),
        tools=TOOLS,
    ).known_in(workdir)
    return make(
        recipe,
        workdir.reference_choice,
        workdir,
        lambda: _adopt(workdir, settings, path, recipe),
        redo=redo,
    )


def _users_image_settings(path: Path, settings: Settings) -> dict[str, Any]:
    """The settings that decide what a user's image gives: few."""
    how: dict[str, Any] = {}
    sections: dict[str, Any] = {"alignment": how}
    row = _detector_of(path)
    if row is not None:
        how["fwhm_arcsec"] = _fwhm_arcsec(path, settings)
    if uses_absolute_catalog(settings):
        how["search_radius_arcsec"] = settings.alignment.search_radius_arcsec
        sections["gate"] = settings.gate.as_recipe()
        sections["catalog"] = {"max_position_error_mas": settings.catalog.max_position_error_mas}
    return sections


def _adopt(workdir: WorkDir, settings: Settings, path: Path, recipe: Recipe) -> Result:
    with workdir.scratch(STAGE) as scratch, write_atomically(workdir.reference_catalog) as part:
        n_stars = catalogue_of_image(
            path,
            part,
            fwhm_arcsec=_fwhm_arcsec(path, settings),
            settings=settings,
            workdir=workdir,
            scratch=scratch,
        )
    if n_stars == 0:
        raise UnusableInput("no stars were found on the reference image", where=path)
    tie = _users_tie(workdir, settings, path) if uses_absolute_catalog(settings) else None
    write_note(
        workdir,
        {
            "image": workdir.relative(path),
            "user": True,
            "orientation_deg": orientation_of(path),
            "inputs": {str(path): recipe.inputs["image"]},
            "settings": settings_digest(settings),
            "recipe": recipe.digest,
            **tie_noted(tie),
            **absolute_noted(recipe),
        },
    )
    facts = {
        "image": workdir.relative(path),
        "band": "user",
        "n_stars": n_stars,
        **tie_noted(tie),
    }
    return Result((workdir.reference_choice, workdir.reference_catalog), facts)


def _users_tie(workdir: WorkDir, settings: Settings, path: Path) -> Tie:
    absolute = read_absolute_catalog(workdir)
    name = str(absolute.meta["catalogue"])
    return image_tie(path, workdir.reference_catalog, absolute, name, settings)


def _fwhm_arcsec(path: Path, settings: Settings) -> float:
    """FWHM of a star on an image, from the instrument its header names."""
    row = _detector_of(path)
    if row is None:
        return _UNKNOWN_FWHM_ARCSEC
    return star_fwhm_pix(row, settings.alignment) * row.pixel_scale_arcsec * DRIZZLE_BLUR


def _detector_of(path: Path) -> Detector | None:
    header = fits.getheader(path, 0)
    try:
        return detector_for(str(header.get("INSTRUME", "")), str(header.get("DETECTOR", "")))
    except UnusableInput:
        return None

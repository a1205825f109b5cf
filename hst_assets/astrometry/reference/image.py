"""The reference image: the one frame that every exposure of every filter is brought onto.

The choice is sticky: while the exposures it was made from are in use and unchanged, the reference
settings are the same, and its stars can be used, new exposures do not move the frame. If its stars
cannot be used, the next best choice takes its place.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable

from hst_assets.astrometry.cards import SHORT_DIGEST
from hst_assets.astrometry.distortion.update import Correction, plan_corrections
from hst_assets.astrometry.exposure_field import star_fwhm_pix
from hst_assets.astrometry.recipes import (
    alignment_tools,
    decisive_alignment,
    default_alignment,
    ledger_digests,
    raw_inputs,
)
from hst_assets.astrometry.reference.choice import (
    ReferenceChoice,
    added_exposures,
    ranked_choices,
    without_added,
)
from hst_assets.astrometry.reference.frame import (
    DRIZZLE_BLUR,
    STAGE,
    absolute_input,
    absolute_noted,
    read_note,
    settings_digest,
    settings_digests,
    tie_noted,
    write_note,
)
from hst_assets.astrometry.reference.members import Members, relative_alignment
from hst_assets.astrometry.reference.stars import catalogue_of_image
from hst_assets.astrometry.reference.users_image import take_users_image
from hst_assets.detectors import DETECTORS, Detector
from hst_assets.failures import BadConfiguration, UnusableReference
from hst_assets.imaging.astrodrizzle.run import TOOLS as DRIZZLE_TOOLS
from hst_assets.imaging.astrodrizzle.run import drizzle
from hst_assets.imaging.box_mask import BoxMask, box_of, reaches
from hst_assets.imaging.frames import exposure_outlines, frame_of_target, orientation_of
from hst_assets.imaging.plan import STAGE as DRIZZLED
from hst_assets.imaging.plan import decisive_settings, scale_of
from hst_assets.imaging.quality import not_compared
from hst_assets.products.batch import remove_stale
from hst_assets.products.columns import read_table
from hst_assets.provenance import (
    Made,
    Recipe,
    Result,
    make,
    read_record,
)
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir, write_atomically

__all__ = ["make_reference"]

logger = logging.getLogger(__name__)

#: Why better choices could not make the reference: in its facts, and in the note on it.
_PASSED_OVER = "passed_over"


def make_reference(
    workdir: WorkDir, settings: Settings, *, redo: bool = False, choose_afresh: bool = False
) -> Made:
    """Make the reference image, or take the user's as it is.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; its exposure table must exist.
    settings : Settings
        Sections reference, alignment, gate, drizzle, target and machine.
    redo : bool, optional
        Build again, from the exposures on record.
    choose_afresh : bool, optional
        Choose and build afresh: the frame of the target may move.

    Returns
    -------
    Made
        Its product is the image; for a user's image the record of the choice.

    Raises
    ------
    UnusableInput
        If no exposure is in use, or the user's image has no celestial WCS.
    UnusableReference
        If no choice of exposures can serve.
    """
    if settings.reference.image is not None:
        return take_users_image(
            workdir, settings, settings.reference.image, redo=redo or choose_afresh
        )
    table = read_table(workdir.target_exposures)
    digests = ledger_digests(workdir)
    candidates = without_added(table, settings.drizzle)
    standing = None if choose_afresh else _standing_choice(workdir, candidates, digests, settings)
    attempt = _Attempt(workdir, settings, table, digests, redo=redo or choose_afresh)
    passed_over = _noted_passed_over(workdir) if standing else []
    former = _images_on_record(workdir)
    failures: list[UnusableReference] = []
    for choice in _in_turn(standing, candidates, settings):
        try:
            made = attempt.of(choice, passed_over, is_first=not failures)
        except UnusableReference as error:
            logger.warning("%s; the next best choice is tried", error.brief)
            failures.append(error)
            passed_over.append(_said_of(choice, error))
            continue
        if not workdir.looked_at:
            _keep_note(workdir, made, settings)
            _remove_others(workdir, attempt.product(choice), former)
        return made
    raise _joint(failures)


def _in_turn(
    standing: ReferenceChoice | None, candidates: QTable, settings: Settings
) -> Iterator[ReferenceChoice]:
    """The choice on record, then the others, the best first."""
    if standing is not None:
        yield standing
    yield from (each for each in ranked_choices(candidates, settings) if each != standing)


def _images_on_record(workdir: WorkDir) -> set[Path]:
    """The reference images that were made here; those of the user's have no record beside them."""
    records = {path: read_record(path) for path in workdir.base.glob("*.ref_*.drc.fits")}
    return {path for path, record in records.items() if record and record.recipe["stage"] == STAGE}


def _remove_others(workdir: WorkDir, product: Path, former: set[Path]) -> None:
    """Remove earlier references, also that of a choice that can no longer serve."""
    remove_stale(workdir, former, [product], stage=STAGE)
    # The record of a choice that was tried in vain is gone, its image is not.
    for path in former - {product}:
        for file in (path, WorkDir.preview(path)):
            file.unlink(missing_ok=True)


def _noted_passed_over(workdir: WorkDir) -> list[str]:
    """What the note on the reference says of better choices."""
    note = read_note(workdir) or {}
    return list(note.get(_PASSED_OVER, ()))


def _said_of(choice: ReferenceChoice, error: UnusableReference) -> str:
    return f"{choice.band}, epoch {choice.epoch}: {error.what}"


def _joint(failures: Sequence[UnusableReference]) -> UnusableReference:
    """The failure of all choices."""
    if len(failures) == 1:
        return failures[0]
    return UnusableReference(
        f"none of {len(failures)} choices of exposures can make the reference: "
        + "; ".join(dict.fromkeys(f"{error.where}: {error.what}" for error in failures)),
        where=", ".join(dict.fromkeys(str(error.where) for error in failures)),
        next_step=failures[0].next_step,
    )


@dataclass(frozen=True)
class _Attempt:
    """What a reference is made from, whichever exposures are chosen."""

    workdir: WorkDir
    settings: Settings
    table: QTable
    digests: Mapping[str, str]
    redo: bool

    def of(self, choice: ReferenceChoice, passed_over: Sequence[str], *, is_first: bool) -> Made:
        """Make the reference of one choice; `passed_over` says why not of better ones.

        Raises
        ------
        UnusableReference
            If none of its exposures can be used.
        BadConfiguration
            If an exposure of ``drizzle.add`` is not one to add to the first choice.
        """
        workdir, settings = self.workdir, self.settings
        added = self._added(choice, is_first=is_first)
        exposures = {**choice.exposures, **added}
        corrections = plan_corrections(workdir, exposures, settings)
        inputs = raw_inputs(workdir, exposures, self.digests)
        for correction in corrections.values():
            inputs |= correction.inputs
        inputs |= absolute_input(workdir, settings)
        detector = DETECTORS[choice.detector_key]
        drizzled = decisive_settings(detector, exposures, settings, band=choice.band)
        drizzled["drizzle"] |= _masked_and_added(settings, added)
        recipe = Recipe(
            stage=STAGE,
            inputs=inputs,
            settings={**_how_aligned(settings, choice), **drizzled},
            defaults={
                **default_alignment(),
                **decisive_settings(detector, exposures, Settings(), band=choice.band),
            },
            detectors=(detector,),
            tools=tuple(sorted({*alignment_tools(settings), *DRIZZLE_TOOLS})),
            uses=(DRIZZLED,),
        ).known_in(workdir)
        product = self.product(choice)
        return make(
            recipe,
            product,
            workdir,
            lambda: _build(
                workdir, settings, choice, added, corrections, recipe, product, passed_over
            ),
            redo=self.redo,
        )

    def product(self, choice: ReferenceChoice) -> Path:
        """The image of a choice."""
        name = self.settings.drizzle.object_name
        return self.workdir.reference_image(choice.band, choice.epoch, name)

    def _added(self, choice: ReferenceChoice, *, is_first: bool) -> Mapping[str, tuple[str, float]]:
        try:
            return added_exposures(self.table, choice, self.settings.drizzle, self.workdir)
        except BadConfiguration as error:
            if is_first:
                raise
            # The user adds to the first choice; what he adds need not go with the others.
            raise UnusableReference(
                error.what, where=choice.band, next_step=error.next_step
            ) from error


def _masked_and_added(settings: Settings, added: Mapping[str, Any]) -> dict[str, Any]:
    """What a recipe has of drizzle.add and drizzle.mask: nothing where neither is set."""
    box = box_of(settings.drizzle, sorted(added))
    return {
        **({"added": sorted(added)} if added else {}),
        **({"box": box.as_json()} if box else {}),
    }


def _how_aligned(settings: Settings, choice: ReferenceChoice) -> dict[str, Any]:
    """How the exposures of a reference are aligned to each other: never by drizzled epochs."""
    how = decisive_alignment(settings, choice.detector_key)
    del how["alignment"]["hierarchical"]
    del how["alignment"][
        "keep_objfile"
    ]  # lists of stars are kept of aligned exposures, not of the reference
    return how


def _keep_note(workdir: WorkDir, made: Made, settings: Settings) -> None:
    """Let the note on the reference say what the record says, under the settings of today.

    Settings that led to the same choice again must be on the note: otherwise the next run would
    take the choice for one made under others, and choose afresh.
    """
    note = {**made.facts["note"], "settings": settings_digest(settings)}
    if read_note(workdir) != note:
        write_note(workdir, note)


def _standing_choice(
    workdir: WorkDir, table: QTable, digests: Mapping[str, str], settings: Settings
) -> ReferenceChoice | None:
    """The choice on record, if all it rests on is still so."""
    note = read_note(workdir)
    if note is None or note.get("user") or note["settings"] not in settings_digests(settings):
        return None
    choice = ReferenceChoice.from_json(note["choice"])
    in_use = set(np.asarray(table["file"], dtype=str)[np.asarray(table["used"], dtype=bool)])
    if not set(choice.exposures) <= in_use:
        return None
    unchanged = all(digests.get(name) == sha for name, sha in note["inputs"].items())
    return choice if unchanged else None


def _build(
    workdir: WorkDir,
    settings: Settings,
    choice: ReferenceChoice,
    added: Mapping[str, tuple[str, float]],
    corrections: Mapping[str, Correction],
    recipe: Recipe,
    product: Path,
    passed_over: Sequence[str],
) -> Result:
    with workdir.scratch(STAGE) as scratch:
        members = relative_alignment(workdir, settings, choice, added, corrections, scratch)
        box = box_of(settings.drizzle, sorted(added))
        if box is not None:
            _leave_out_beside(members, box)
        detector = DETECTORS[choice.detector_key]
        orientation_deg = orientation_of(members.anchor.raw)
        frame = frame_of_target(
            [outline for path in members.used for outline in exposure_outlines(path)],
            settings,
            scale_arcsec=scale_of(detector, settings.drizzle),
            orientation_deg=orientation_deg if settings.drizzle.no_rotation else 0.0,
        )
        if box is not None:
            _refuse_beside(members, box, (frame.ra_deg, frame.dec_deg))
        report = drizzle(
            members.used,
            product,
            detector=detector,
            frame=frame,
            settings=settings.drizzle,
            workdir=workdir,
            label=f"reference_{choice.band}_{choice.epoch}",
            machine=settings.machine,
            cards=_cards(members, recipe),
            box=box,
        )
        n_stars = _catalogue(workdir, settings, detector, members, product, scratch)
    facts = _facts(choice, members, workdir, product)
    preview = WorkDir.preview(product)
    extra = (preview,) if preview.is_file() else ()
    facts |= {
        _PASSED_OVER: list(passed_over),
        "n_stars": n_stars,
        "exptime_s": report.exptime_s,
        "scale_arcsec": frame.scale_arcsec,
        "sky_per_s": report.sky_per_s,
        "problems": list(report.problems),
        "not_checked": not_compared(report.flux_ratio, report.n_flux_stars),
        "previews": [workdir.relative(path) for path in extra],
        "note": {
            "image": workdir.relative(product),
            "user": False,
            "anchor": members.anchor.raw.name,
            "anchor_shapes": members.anchor_shapes.as_json(),
            "orientation_deg": orientation_deg,
            "n_members": len(members.used),
            "n_failed": members.n_failed,
            "n_stars": n_stars,
            "choice": choice.as_json(),
            "inputs": {
                key.removeprefix("raw:"): sha
                for key, sha in recipe.inputs.items()
                if key.startswith("raw:")
            },
            "left_out": members.left_out,
            _PASSED_OVER: list(passed_over),
            "recipe": recipe.digest,
            **tie_noted(members.tie),
            **absolute_noted(recipe),
        },
    }
    return Result((product, workdir.reference_catalog, *extra), facts)


def _leave_out_beside(members: Members, box: BoxMask) -> None:
    """Leave out added exposures that have nothing to fill the box with."""
    for path in [path for path in members.used if path.name in box.filled_by]:
        if not reaches(path, box):
            members.used.remove(path)
            members.left_out[path.name] = "it does not reach into the box of drizzle.mask"
            logger.warning("left out of the reference: %s, beside the box", path.name)


def _refuse_beside(members: Members, box: BoxMask, field_deg: tuple[float, float]) -> None:
    """End here if the box masks nothing: then the setting is not what was meant."""
    ordinary = [path for path in members.used if path.name not in box.filled_by]
    if not any(reaches(path, box) for path in ordinary):
        ra_deg, dec_deg = field_deg
        raise BadConfiguration(
            f"the box at {box.ra_deg:.6f},{box.dec_deg:+.6f} lies outside all exposures of the "
            f"reference, whose field is about {ra_deg:.6f},{dec_deg:+.6f} (degrees)",
            where="drizzle.mask",
            next_step="Give the position of what is to be masked, or leave it out",
        )


def _cards(members: Members, recipe: Recipe) -> dict[str, tuple[str | int | bool, str]]:
    aligned = not members.kept_a_priori
    return {
        "HIERARCH HST123 ALIGNOK": (aligned, ""),
        "HIERARCH HST123 ALIGNST": (
            "PASS" if aligned else "FAIL" if members.n_failed else "SKIPPED",
            "",
        ),
        "HIERARCH HST123 ALIGNMT": (members.method, ""),
        "HIERARCH HST123 ALIGNRF": (members.anchor.rootname, ""),
        "HIERARCH HST123 ALIGNDG": (recipe.digest[:SHORT_DIGEST], ""),
        **({"HIERARCH HST123 ALIGNFR": (members.frame, "")} if members.tie else {}),
    }


def _catalogue(
    workdir: WorkDir,
    settings: Settings,
    detector: Detector,
    members: Members,
    product: Path,
    scratch: Path,
) -> int:
    """Write the reference's stars; return how many.

    With one CCD exposure the image still holds its cosmic rays: then its stars are those of the
    exposure itself, found after cleaning, which has the same WCS.
    """
    with write_atomically(workdir.reference_catalog) as part:
        if len(members.used) == 1 and detector.clean_cosmic_rays:
            shutil.copyfile(scratch / "anchor.ecsv", part)
            return members.n_anchor_stars
        return catalogue_of_image(
            product,
            part,
            fwhm_arcsec=star_fwhm_pix(detector, settings.alignment)
            * detector.pixel_scale_arcsec
            * DRIZZLE_BLUR,
            settings=settings,
            workdir=workdir,
            scratch=scratch,
        )


def _facts(
    choice: ReferenceChoice, members: Members, workdir: WorkDir, product: Path
) -> dict[str, Any]:
    results = members.results.values()
    rms = [max(r.numbers.rms_x, r.numbers.rms_y) for r in results if r.aligned and r.numbers]
    return {
        "image": workdir.relative(product),
        "band": choice.band,
        "epoch": choice.epoch,
        "anchor": members.anchor.rootname,
        "n_exposures": len(choice.exposures),
        "n_used": len(members.used),
        "n_left_out": len(members.left_out),
        "left_out": members.left_out,
        "kept_a_priori": members.kept_a_priori,
        "star_shapes": str(members.anchor_shapes),
        "fwhm_pix": _rounded(members.anchor_shapes.shapes.fwhm_pix),
        "elongation": _rounded(members.anchor_shapes.shapes.elongation),
        "median_rms_pix": round(float(np.median(rms)), 4) if rms else None,
        **tie_noted(members.tie),
        "log": workdir.relative(workdir.log(STAGE, members.anchor.rootname)),
    }


def _rounded(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None

"""The reference image: the one frame that every exposure of every filter is brought onto.

The choice is sticky: while the exposures it was made from are in use and unchanged and the
reference settings are the same, new exposures do not move the frame.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import QTable

from hst_assets.astrometry.absolute.catalog import make_absolute_catalog, read_absolute_catalog
from hst_assets.astrometry.absolute.frame import Tie, image_tie, through_wcs, tie_anchor
from hst_assets.astrometry.cards import ANCHOR, SHORT_DIGEST
from hst_assets.astrometry.distortion.update import Correction, correct, plan_corrections
from hst_assets.astrometry.field import star_fwhm_pix
from hst_assets.astrometry.methods.ladder import Onto, align_in_turn
from hst_assets.astrometry.outcome import Outcome, Target, joint_failure, untouched
from hst_assets.astrometry.recipes import (
    CODE_VERSION,
    TOOLS,
    alignment_tools,
    decisive_alignment,
    ledger_digests,
    raw_inputs,
    uses_absolute_catalog,
)
from hst_assets.astrometry.reference.added_exposures import added_exposures, without_added
from hst_assets.astrometry.reference.choice import ReferenceChoice, choose_reference
from hst_assets.astrometry.reference.frame import ABSOLUTE_INPUT, read_note, write_note
from hst_assets.astrometry.reference.stars import catalogue_of_exposure, catalogue_of_image
from hst_assets.detectors import DETECTORS, Detector, detector_for
from hst_assets.exposures.table import read_table
from hst_assets.failures import BadConfiguration, UnusableInput
from hst_assets.imaging.astrodrizzle import CODE_VERSION as DRIZZLE_CODE_VERSION
from hst_assets.imaging.astrodrizzle import TOOLS as DRIZZLE_TOOLS
from hst_assets.imaging.astrodrizzle import drizzle
from hst_assets.imaging.box_mask import BoxMask, box_of, reaches
from hst_assets.imaging.frames import exposure_outlines, frame_of_target, orientation_of
from hst_assets.imaging.making import remove_stale
from hst_assets.imaging.plan import decisive_settings, scale_of
from hst_assets.provenance import (
    Made,
    Recipe,
    Result,
    digest_of,
    make,
    sha256_of_file,
)
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir, write_atomically

__all__ = ["make_reference"]

logger = logging.getLogger(__name__)


STAGE = "reference_image"
#: FWHM of a star on a reference image of unknown origin.
_UNKNOWN_FWHM_ARCSEC = 0.1
#: Drizzling widens stars by about this factor.
_DRIZZLE_BLUR = 1.1


def make_reference(
    workdir: WorkDir, settings: Settings, *, redo: bool = False, choose_afresh: bool = False
) -> Made:
    """Make the reference image, or take the user's as it is.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; its exposure table must stand.
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
        If no exposure can serve, or the user's image has no celestial WCS.
    """
    if settings.reference.image is not None:
        return _take_users_image(
            workdir, settings, settings.reference.image, redo=redo or choose_afresh
        )
    table = read_table(workdir.target_exposures)
    digests = ledger_digests(workdir)
    candidates = without_added(table, settings.drizzle)
    standing = None if choose_afresh else _standing_choice(workdir, candidates, digests, settings)
    choice = standing or choose_reference(candidates, settings)
    added = added_exposures(table, choice, settings.drizzle, workdir)
    exposures = {**choice.exposures, **added}
    corrections = plan_corrections(workdir, exposures, settings)
    inputs = raw_inputs(workdir, exposures, digests)
    for correction in corrections.values():
        inputs |= correction.inputs
    inputs |= _absolute_input(workdir, settings)
    recipe = Recipe(
        stage=STAGE,
        code_version=CODE_VERSION,
        inputs=inputs,
        settings={
            "alignment": _how_aligned(settings, choice),
            "drizzle_code_version": DRIZZLE_CODE_VERSION,
            "gate": settings.gate.as_recipe(),
            "drizzle": decisive_settings(DETECTORS[choice.detector_key], len(exposures), settings)
            | _masked_and_added(settings, added),
        },
        tools=tuple(sorted({*alignment_tools(settings), *DRIZZLE_TOOLS})),
    )
    product = workdir.reference_image(choice.band, choice.epoch, settings.drizzle.object_name)
    made = make(
        recipe,
        product,
        workdir,
        lambda: _build(workdir, settings, choice, added, corrections, recipe, product),
        redo=redo or choose_afresh,
    )
    _keep_note(workdir, made, settings)
    remove_stale(workdir.base, "*.ref_*.drc.fits", {product}, stage=STAGE)
    return made


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
    del how["hierarchical"]
    del how["keep_objfile"]  # lists of stars are kept of aligned exposures, not of the reference
    return how


def _absolute_input(workdir: WorkDir, settings: Settings) -> dict[str, str]:
    """The absolute catalogue as a recipe's input, made if need be; nothing where none is used."""
    if not uses_absolute_catalog(settings):
        return {}
    return {ABSOLUTE_INPUT: make_absolute_catalog(workdir, settings).digest}


def _keep_note(workdir: WorkDir, made: Made, settings: Settings) -> None:
    """Let the note on the reference say what the record says, under the settings of today.

    Settings that led to the same choice again must be on the note: otherwise the next run would
    take the choice for one made under others, and choose afresh.
    """
    note = {**made.facts["note"], "settings": _settings_digest(settings)}
    if read_note(workdir) != note:
        write_note(workdir, note)


def _standing_choice(
    workdir: WorkDir, table: QTable, digests: Mapping[str, str], settings: Settings
) -> ReferenceChoice | None:
    """The choice on record, if all it rests on is still so."""
    note = read_note(workdir)
    if note is None or note.get("user") or note["settings"] != _settings_digest(settings):
        return None
    choice = ReferenceChoice.from_json(note["choice"])
    in_use = set(np.asarray(table["file"], dtype=str)[np.asarray(table["used"], dtype=bool)])
    if not set(choice.exposures) <= in_use:
        return None
    unchanged = all(digests.get(name) == sha for name, sha in note["inputs"].items())
    return choice if unchanged else None


def _settings_digest(settings: Settings) -> str:
    return digest_of(settings.reference.as_recipe())


@dataclass
class _Members:
    """The exposures of a reference after their alignment to each other."""

    anchor: Target
    n_anchor_stars: int
    used: list[Path]
    kept_a_priori: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    tie: Tie | None = None

    @property
    def is_absolute(self) -> bool:
        """Whether the anchor is on the absolute catalogue."""
        return self.tie is not None and self.tie.absolute

    @property
    def frame(self) -> str:
        """Whose frame it is: the catalogue's name, or the anchor's."""
        return self.tie.catalogue if self.tie and self.tie.absolute else self.anchor.rootname

    @property
    def n_failed(self) -> int:
        """How many could not be aligned to the anchor."""
        return sum(
            outcome.status == "FAIL" and bool(outcome.files) for outcome in self.outcomes.values()
        )

    @property
    def method(self) -> str:
        """What brought the image's exposures together, and onto the absolute catalogue."""
        if self.kept_a_priori:
            return "none"
        methods = {outcome.method for outcome in self.outcomes.values() if outcome.aligned}
        methods |= {"catalog"} if self.is_absolute else set()
        return "+".join(sorted(methods)) or ANCHOR


def _build(
    workdir: WorkDir,
    settings: Settings,
    choice: ReferenceChoice,
    added: Mapping[str, tuple[str, float]],
    corrections: Mapping[str, Correction],
    recipe: Recipe,
    product: Path,
) -> Result:
    with workdir.scratch(STAGE) as scratch:
        members = _relative_alignment(workdir, settings, choice, added, corrections, scratch)
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
        "n_stars": n_stars,
        "exptime_s": report.exptime_s,
        "scale_arcsec": frame.scale_arcsec,
        "sky_per_s": report.sky_per_s,
        "problems": list(report.problems),
        "previews": [workdir.relative(path) for path in extra],
        "note": {
            "image": workdir.relative(product),
            "user": False,
            "anchor": members.anchor.raw.name,
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
            "recipe": recipe.digest,
            **_tie_noted(members.tie),
            **_absolute_noted(recipe),
        },
    }
    return Result((product, workdir.reference_catalog, *extra), facts)


def _tie_noted(tie: Tie | None) -> dict[str, Any]:
    return {} if tie is None else {"tie": tie.as_json()}


def _absolute_noted(recipe: Recipe) -> dict[str, str]:
    """Which absolute catalogue the frame was tied to, for the note."""
    return {key: recipe.inputs[key] for key in (ABSOLUTE_INPUT,) if key in recipe.inputs}


def _relative_alignment(
    workdir: WorkDir,
    settings: Settings,
    choice: ReferenceChoice,
    added: Mapping[str, tuple[str, float]],
    corrections: Mapping[str, Correction],
    scratch: Path,
) -> _Members:
    """Bring the exposures onto the deepest one that can be read; added ones are never that."""
    exposures = {**choice.exposures, **added}
    targets, refused = correct(
        [
            Target(workdir.raw / name, rootname, choice.detector_key)
            for name, (rootname, _) in exposures.items()
        ],
        corrections,
        settings=settings,
        workdir=workdir,
        scratch=scratch,
        stage=STAGE,
    )
    _raise_failures(workdir, refused)
    catalogue = scratch / "anchor.ecsv"
    unreadable = {
        name: refused[rootname].reason
        for name, (rootname, _) in exposures.items()
        if rootname in refused
    }
    for anchor in [target for target in targets if target.raw.name not in added]:
        itself = untouched(anchor, scratch, status="SKIPPED", method="none", reason="")
        if not itself.files:
            unreadable[anchor.raw.name] = itself.reason
            continue
        try:
            # What is not the exposure's fault must not make another one the frame.
            n_stars = catalogue_of_exposure(
                anchor, catalogue, settings=settings, workdir=workdir, scratch=scratch
            )
        except UnusableInput as error:
            unreadable[anchor.raw.name] = error.what
            continue
        break
    else:
        raise UnusableInput(
            f"none of the {len(choice.exposures)} exposures chosen for the reference can be used: "
            + "; ".join(sorted(set(unreadable.values()))),
            where=choice.band,
        )
    members = _Members(anchor, n_stars, [itself.files[0]], left_out=unreadable)
    if uses_absolute_catalog(settings):
        _tie(members, catalogue, workdir, settings, scratch)
    others = [t for t in targets if t != anchor and t.raw.name not in unreadable]
    onto = Onto(catalogue, *_absolute_of(members.tie, workdir))
    outcomes = _aligned_or_skipped(others, onto, workdir, settings, scratch)
    pairs = list(zip(others, outcomes, strict=True))
    _raise_failures(workdir, {target.rootname: outcome for target, outcome in pairs})
    for target, outcome in pairs:
        _admit(members, target, outcome, settings)
    return members


def _leave_out_beside(members: _Members, box: BoxMask) -> None:
    """Leave out added exposures that have nothing to fill the box with."""
    for path in [path for path in members.used if path.name in box.filled_by]:
        if not reaches(path, box):
            members.used.remove(path)
            members.left_out[path.name] = "it does not reach into the box of drizzle.mask"
            logger.warning("left out of the reference: %s, beside the box", path.name)


def _refuse_beside(members: _Members, box: BoxMask, field_deg: tuple[float, float]) -> None:
    """End here if the box masks nothing: then the setting is not what was meant."""
    ordinary = [path for path in members.used if path.name not in box.filled_by]
    if not any(reaches(path, box) for path in ordinary):
        ra_deg, dec_deg = field_deg
        raise BadConfiguration(
            f"the box at {box.ra_deg:.6f},{box.dec_deg:+.6f} lies beside all exposures of the "
            f"reference, whose field is about {ra_deg:.6f},{dec_deg:+.6f} (degrees)",
            where="drizzle.mask",
            next_step="Write the position of what is to be masked, or leave it out",
        )


def _tie(
    members: _Members, catalogue: Path, workdir: WorkDir, settings: Settings, scratch: Path
) -> None:
    """Bring the anchor onto the absolute catalogue and its stars with it, if it will go."""
    folder = scratch / "absolute"
    folder.mkdir()
    name = str(read_absolute_catalog(workdir).meta["catalogue"])
    members.tie, outcome = tie_anchor(
        members.anchor, name, settings=settings, workdir=workdir, scratch=folder, stage=STAGE
    )
    _raise_failures(workdir, {members.anchor.rootname: outcome})
    if members.tie.absolute:
        members.used = [outcome.files[0]]
        through_wcs(catalogue, outcome.files[0])
    else:
        logger.warning("the frame is the anchor's own: %s", members.tie.reason)


def _absolute_of(tie: Tie | None, workdir: WorkDir) -> tuple[Path | None, str]:
    """The absolute catalogue for those who are brought onto the frame, or why there is none."""
    if tie is not None and tie.absolute:
        return workdir.absolute_catalog, ""
    return None, "" if tie is None else f"the frame is not absolute ({tie.reason})"


def _raise_failures(workdir: WorkDir, outcomes: Mapping[str, Outcome]) -> None:
    """End here if the tool or a service gave no answer: nothing may be concluded from that."""
    failures = {name: o.failure for name, o in outcomes.items() if o.failure is not None}
    if failures:
        raise joint_failure(failures, where=f"the reference of {workdir.target}")


def _aligned_or_skipped(
    targets: Sequence[Target],
    onto: Onto,
    workdir: WorkDir,
    settings: Settings,
    scratch: Path,
) -> list[Outcome]:
    if not settings.alignment.skip_tweakreg:
        return align_in_turn(
            targets,
            onto,
            settings=settings,
            workdir=workdir,
            scratch=scratch,
            stage=STAGE,
        )
    return [
        untouched(target, scratch, status="SKIPPED", method="none", reason="") for target in targets
    ]


def _admit(members: _Members, target: Target, outcome: Outcome, settings: Settings) -> None:
    members.outcomes[target.rootname] = outcome
    keep = settings.alignment.on_failure == "keep_a_priori" or outcome.status == "SKIPPED"
    if outcome.aligned:
        members.used.append(outcome.files[0])
    elif keep and outcome.files:
        members.used.append(outcome.files[0])
        members.kept_a_priori.append(target.raw.name)
    else:
        members.left_out[target.raw.name] = outcome.reason
        logger.warning("left out of the reference: %s (%s)", target.raw.name, outcome.reason)


def _cards(members: _Members, recipe: Recipe) -> dict[str, tuple[str | int | bool, str]]:
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
    members: _Members,
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
            * _DRIZZLE_BLUR,
            settings=settings,
            workdir=workdir,
            scratch=scratch,
        )


def _facts(
    choice: ReferenceChoice, members: _Members, workdir: WorkDir, product: Path
) -> dict[str, Any]:
    outcomes = members.outcomes.values()
    rms = [max(o.numbers.rms_x, o.numbers.rms_y) for o in outcomes if o.aligned and o.numbers]
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
        "median_rms_pix": round(float(np.median(rms)), 4) if rms else None,
        **_tie_noted(members.tie),
        "log": workdir.relative(workdir.log(STAGE, members.anchor.rootname)),
    }


# ------------------------------------------------------------------------- the user's image


def _take_users_image(workdir: WorkDir, settings: Settings, image: Path, *, redo: bool) -> Made:
    path = image if image.is_absolute() else workdir.base / image
    if not path.is_file():
        raise BadConfiguration("the reference image is not there", where=path)
    recipe = Recipe(
        stage=STAGE,
        code_version=CODE_VERSION,
        inputs={"image": sha256_of_file(path), **_absolute_input(workdir, settings)},
        settings=_users_image_settings(path, settings),
        tools=TOOLS,
    )
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
    row = _detector_of(path)
    if row is not None and row.key in settings.alignment.conv_width_pix:
        how["conv_width_pix"] = settings.alignment.conv_width_pix[row.key]
    if uses_absolute_catalog(settings):
        how["gate"] = settings.gate.as_recipe()
        how["search_radius_arcsec"] = settings.alignment.search_radius_arcsec
        how["max_position_error_mas"] = settings.catalog.max_position_error_mas
    return how


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
            "settings": _settings_digest(settings),
            "recipe": recipe.digest,
            **_tie_noted(tie),
            **_absolute_noted(recipe),
        },
    )
    facts = {
        "image": workdir.relative(path),
        "band": "user",
        "n_stars": n_stars,
        **_tie_noted(tie),
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
    return star_fwhm_pix(row, settings.alignment) * row.pixel_scale_arcsec * _DRIZZLE_BLUR


def _detector_of(path: Path) -> Detector | None:
    header = fits.getheader(path, 0)
    try:
        return detector_for(str(header.get("INSTRUME", "")), str(header.get("DETECTOR", "")))
    except UnusableInput:
        return None

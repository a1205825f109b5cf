"""The exposures of a reference image, brought onto one of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hst_assets.astrometry.absolute.catalog import read_absolute_catalog
from hst_assets.astrometry.absolute.frame import Tie, through_wcs, tie_anchor
from hst_assets.astrometry.alignment_result import (
    AlignmentResult,
    ExposureToAlign,
    joint_failure,
    untouched,
    without_crashed,
)
from hst_assets.astrometry.cards import ANCHOR
from hst_assets.astrometry.distortion.update import Correction, correct
from hst_assets.astrometry.methods.ladder import Onto, align_in_turn
from hst_assets.astrometry.recipes import uses_absolute_catalog
from hst_assets.astrometry.reference.choice import ReferenceChoice
from hst_assets.astrometry.reference.frame import STAGE
from hst_assets.astrometry.reference.stars import catalogue_of_exposure
from hst_assets.astrometry.shape_limits import ShapeVerdict, wider_than_others
from hst_assets.failures import UnusableInput, UnusableReference
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["Members", "relative_alignment"]

logger = logging.getLogger(__name__)


@dataclass
class Members:
    """The exposures of a reference after their alignment to each other.

    Attributes
    ----------
    anchor : ExposureToAlign
        The exposure that the others were brought onto.
    n_anchor_stars : int
        Stars found on it.
    anchor_shapes : ShapeVerdict
        What is said of their shapes.
    used : list of `~pathlib.Path`
        The aligned copies that go into the image, the anchor's first.
    kept_a_priori : list of str
        Files among them that have the archive's WCS.
    left_out : dict
        ``{file: reason}`` of those that do not go into it.
    results : dict
        Of the alignments, by rootname.
    tie : Tie or None
        How the anchor is tied to the absolute catalogue, where one is used.
    """

    anchor: ExposureToAlign
    n_anchor_stars: int
    anchor_shapes: ShapeVerdict
    used: list[Path]
    kept_a_priori: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    results: dict[str, AlignmentResult] = field(default_factory=dict)
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
            result.status == "FAIL" and bool(result.files) for result in self.results.values()
        )

    @property
    def method(self) -> str:
        """What brought the image's exposures together, and onto the absolute catalogue."""
        if self.kept_a_priori:
            return "none"
        methods = {result.method for result in self.results.values() if result.aligned}
        methods |= {"catalog"} if self.is_absolute else set()
        return "+".join(sorted(methods)) or ANCHOR


def relative_alignment(
    workdir: WorkDir,
    settings: Settings,
    choice: ReferenceChoice,
    added: Mapping[str, tuple[str, float]],
    corrections: Mapping[str, Correction],
    scratch: Path,
) -> Members:
    """Bring the exposures onto the first that can be used; added ones are never that.

    One whose stars are trailed or double, or wide beside those of the others, is not used.

    Parameters
    ----------
    workdir : WorkDir
        Of the target.
    settings : Settings
        Sections alignment, gate, catalog, reference_files and machine.
    choice : ReferenceChoice
        The exposures, the best guided and deepest first.
    added : mapping
        ``{file: (rootname, exptime_s)}`` of ``drizzle.add``.
    corrections : mapping
        What each file's WCS wants first.
    scratch : `~pathlib.Path`
        An existing folder; the anchor's stars are left in its ``anchor.ecsv``.

    Raises
    ------
    UnusableReference
        If none of the chosen exposures can be used.
    ToolFailed, OutOfMemory, TransientFailure
        If the tool or a service gave no answer. An exposure that the tool fails on while it
        answers on others is left out.
    """
    chosen = {**choice.exposures, **added}
    exposures, refused = correct(
        [
            ExposureToAlign(workdir.raw / name, rootname, choice.detector_key)
            for name, (rootname, _) in chosen.items()
        ],
        corrections,
        settings=settings,
        workdir=workdir,
        scratch=scratch,
        stage=STAGE,
    )
    _raise_failures(workdir, refused)
    start = _Start(workdir, settings, exposures, scratch)
    unusable = {
        name: refused[rootname].reason
        for name, (rootname, _) in chosen.items()
        if rootname in refused
    }
    for anchor in [exposure for exposure in exposures if exposure.raw.name not in added]:
        try:
            members = start.onto(anchor, unusable)
        except UnusableInput as error:
            unusable[anchor.raw.name] = error.what
            continue
        wide = wider_than_others(
            members.anchor_shapes,
            [result.shapes for result in members.results.values()],
            settings.gate,
        )
        if not wide:
            return members
        # Those that are narrower follow: one of them has no narrower one.
        logger.warning("not the anchor: %s (%s)", anchor.raw.name, wide)
        unusable[anchor.raw.name] = wide
    raise UnusableReference(
        f"none of the {len(choice.exposures)} exposures chosen for the reference can be used: "
        + "; ".join(sorted(set(unusable.values()))),
        where=choice.band,
        next_step="Set reference.filter or reference.instrument so that others make it",
    )


@dataclass(frozen=True)
class _Start:
    """What bringing the exposures together starts from, whichever is the anchor."""

    workdir: WorkDir
    settings: Settings
    exposures: Sequence[ExposureToAlign]
    scratch: Path

    def onto(self, anchor: ExposureToAlign, unusable: Mapping[str, str]) -> Members:
        """Bring all that is not known to be unusable onto one of them.

        Raises
        ------
        UnusableInput
            If the anchor cannot be read, or its stars are trailed or double.
        """
        folder = self.scratch / f"{anchor.rootname}.anchor"
        folder.mkdir()
        itself = untouched(anchor, folder, status="SKIPPED", method="none", reason="")
        if not itself.files:
            raise UnusableInput(itself.reason, where=anchor.raw)
        catalogue = self.scratch / "anchor.ecsv"
        # What is not the exposure's fault must not make another one the frame.
        n_stars, shapes = catalogue_of_exposure(
            anchor, catalogue, settings=self.settings, workdir=self.workdir, scratch=folder
        )
        if shapes.is_bad:
            raise UnusableInput(shapes.text, where=anchor.raw)
        members = Members(anchor, n_stars, shapes, [itself.files[0]], left_out=dict(unusable))
        if uses_absolute_catalog(self.settings):
            _tie(members, catalogue, self.workdir, self.settings, folder)
        others = [
            each for each in self.exposures if each != anchor and each.raw.name not in unusable
        ]
        onto = Onto(catalogue, *_absolute_of(members.tie, self.workdir))
        results = _aligned_or_skipped(others, onto, self.workdir, self.settings, folder)
        results = without_crashed(results)
        pairs = list(zip(others, results, strict=True))
        _raise_failures(self.workdir, {exposure.rootname: result for exposure, result in pairs})
        shapes_of = {anchor.rootname: shapes}
        shapes_of |= {exposure.rootname: r.shapes for exposure, r in pairs if r.shapes is not None}
        for exposure, result in pairs:
            beside = [each for name, each in shapes_of.items() if name != exposure.rootname]
            wide = wider_than_others(result.shapes, beside, self.settings.gate)
            _admit(members, exposure, result, wide, self.settings)
        return members


def _tie(
    members: Members, catalogue: Path, workdir: WorkDir, settings: Settings, scratch: Path
) -> None:
    """Bring the anchor onto the absolute catalogue and its stars with it, if it will go."""
    folder = scratch / "absolute"
    folder.mkdir()
    name = str(read_absolute_catalog(workdir).meta["catalogue"])
    members.tie, result = tie_anchor(
        members.anchor, name, settings=settings, workdir=workdir, scratch=folder, stage=STAGE
    )
    _raise_failures(workdir, {members.anchor.rootname: result})
    if members.tie.absolute:
        members.used = [result.files[0]]
        through_wcs(catalogue, result.files[0])
    else:
        logger.warning("the frame is the anchor's own: %s", members.tie.reason)


def _absolute_of(tie: Tie | None, workdir: WorkDir) -> tuple[Path | None, str]:
    """The absolute catalogue for those who are brought onto the frame, or why there is none."""
    if tie is not None and tie.absolute:
        return workdir.absolute_catalog, ""
    return None, "" if tie is None else f"the frame is not absolute ({tie.reason})"


def _raise_failures(workdir: WorkDir, results: Mapping[str, AlignmentResult]) -> None:
    """End here if the tool or a service gave no answer: nothing may be concluded from that."""
    failures = {name: r.failure for name, r in results.items() if r.failure is not None}
    if failures:
        raise joint_failure(failures, where=f"the reference of {workdir.target}")


def _aligned_or_skipped(
    exposures: Sequence[ExposureToAlign],
    onto: Onto,
    workdir: WorkDir,
    settings: Settings,
    scratch: Path,
) -> list[AlignmentResult]:
    if not settings.alignment.skip_tweakreg:
        return align_in_turn(
            exposures,
            onto,
            settings=settings,
            workdir=workdir,
            scratch=scratch,
            stage=STAGE,
        )
    return [
        untouched(exposure, scratch, status="SKIPPED", method="none", reason="")
        for exposure in exposures
    ]


def _admit(
    members: Members,
    exposure: ExposureToAlign,
    result: AlignmentResult,
    wide: str,
    settings: Settings,
) -> None:
    """Take an exposure into the reference, or leave it out; `wide` says why its stars are so."""
    members.results[exposure.rootname] = result
    if wide or result.is_misshapen:
        # Kept a priori or not: it would blur the stars that everything is aligned to.
        members.left_out[exposure.raw.name] = wide or result.reason
        logger.warning("left out of the reference: %s (%s)", exposure.raw.name, wide)
        return
    keep = settings.alignment.on_failure == "keep_a_priori" or result.status == "SKIPPED"
    if result.aligned:
        members.used.append(result.files[0])
    elif keep and result.files:
        members.used.append(result.files[0])
        members.kept_a_priori.append(exposure.raw.name)
    else:
        members.left_out[exposure.raw.name] = result.reason
        logger.warning("left out of the reference: %s (%s)", exposure.raw.name, result.reason)

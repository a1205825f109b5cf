"""The reference image: the one frame that every exposure of every filter is brought onto.

Choice: among the exposures in use, the filters of ``reference.preferred_filters`` that are there;
of these the detector and filter whose deepest epoch is deepest. Without a preferred filter: wide
before narrow, then by depth. One epoch only, so that a transient or variable star cannot differ
between the exposures that make the frame. ACS/HRC, whose field is small, is left aside where
another detector is there, WFPC2 too if ``reference.avoid_wfpc2``.

The choice is sticky: while the exposures it was made from are in use and unchanged and the
reference settings are the same, new exposures do not move the frame.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import QTable

from hst_assets.astrometry.tweakreg import (
    Outcome,
    Target,
    align,
    catalogue_of_exposure,
    catalogue_of_image,
    untouched,
)
from hst_assets.detectors import DETECTORS, Detector, detector_for, is_wide
from hst_assets.exposures.raw import raw_ledger
from hst_assets.exposures.table import read_table
from hst_assets.failures import BadConfiguration, HstAssetsError, MissingProduct, UnusableInput
from hst_assets.imaging.astrodrizzle import drizzle
from hst_assets.imaging.frames import covering_frame, exposure_outlines, shared_tangent_point
from hst_assets.provenance import (
    Made,
    Recipe,
    Result,
    digest_of,
    make,
    read_record,
    sha256_of_file,
)
from hst_assets.settings import ReferenceSettings, Settings
from hst_assets.workdir import WorkDir, write_atomically

__all__ = [
    "CODE_VERSION",
    "TOOLS",
    "ReferenceChoice",
    "ReferenceFrame",
    "choose_reference",
    "make_reference",
    "read_reference",
]

logger = logging.getLogger(__name__)

#: Raised by hand when the code changes what an alignment or a reference will be.
CODE_VERSION = "1"
#: Distributions whose version decides an alignment.
TOOLS = ("astropy", "astroscrappy", "drizzlepac", "photutils", "stsci.stimage", "stwcs")

STAGE = "reference_image"
#: FWHM of a star on a reference image of unknown origin.
_UNKNOWN_FWHM_ARCSEC = 0.1
#: Drizzling widens stars by about this factor.
_DRIZZLE_BLUR = 1.1


@dataclass(frozen=True)
class ReferenceChoice:
    """Which exposures make the reference.

    Attributes
    ----------
    detector_key, filter : str
        Of all its exposures.
    epoch : int
        Number of the epoch they belong to.
    exposures : dict
        ``{file: (rootname, exptime_s)}``, deepest first: the first is the anchor.
    """

    detector_key: str
    filter: str
    epoch: int
    exposures: Mapping[str, tuple[str, float]]

    @property
    def band(self) -> str:
        """``<inst>_<det>.<filter>``."""
        return DETECTORS[self.detector_key].band(self.filter)

    @property
    def exptime_s(self) -> float:
        """Summed exposure time."""
        return sum(exptime for _, exptime in self.exposures.values())

    def as_json(self) -> dict[str, Any]:
        """For the record of the choice."""
        return {**asdict(self), "exposures": {k: list(v) for k, v in self.exposures.items()}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ReferenceChoice:
        """The inverse of `as_json`."""
        exposures = {name: (str(v[0]), float(v[1])) for name, v in values["exposures"].items()}
        return cls(values["detector_key"], values["filter"], int(values["epoch"]), exposures)


@dataclass(frozen=True)
class ReferenceFrame:
    """The reference as later stages see it.

    Attributes
    ----------
    image : `~pathlib.Path`
        The image.
    catalogue : `~pathlib.Path`
        Its stars (ECSV: ra, dec in degrees, brightest first).
    digest : str
        Its data version.
    name : str
        Short name for tables and logs.
    anchor : str
        File of the exposure whose own WCS is the frame; empty for a user's image.
    """

    image: Path
    catalogue: Path
    digest: str
    name: str
    anchor: str = ""


# ----------------------------------------------------------------------------------- choice


def choose_reference(table: QTable, settings: Settings) -> ReferenceChoice:
    """Choose the exposures that make the reference.

    Parameters
    ----------
    table : QTable
        The target's exposure table.
    settings : Settings
        Section reference.

    Raises
    ------
    UnusableInput
        If no exposure is in use.
    BadConfiguration
        If the reference settings leave none of those in use.
    """
    used = table[np.asarray(table["used"], dtype=bool)]
    if len(used) == 0:
        raise UnusableInput(
            "no exposure is in use",
            next_step="See the column 'reason' of the exposure table, or overrides.ecsv",
        )
    groups = _groups(_allowed(used, settings.reference))
    names = {group.filter for group in groups}
    preferred = [name for name in settings.reference.preferred_filters if name in names]
    if preferred:
        groups = [group for group in groups if group.filter in preferred]
    return min(groups, key=lambda group: _rank(group, by_width=not preferred))


def _rank(group: ReferenceChoice, *, by_width: bool) -> tuple[int, float, str, int]:
    width = _width_class(group.filter) if by_width else 0
    return width, -group.exptime_s, group.band, group.epoch


def _width_class(name: str) -> int:
    """Order of preference among filters nobody preferred: LP, W, X, M, N, others."""
    for rank, ending in enumerate(("LP", "W", "X", "M", "N")):
        if name.split("-", maxsplit=1)[0].endswith(ending):
            return rank
    return 2 if is_wide(name) else 5


def _allowed(used: QTable, options: ReferenceSettings) -> QTable:
    keys = np.asarray(used["detector_key"], dtype=str)
    filters = np.char.upper(np.asarray(used["filter"], dtype=str))
    keep = np.ones(len(used), dtype=bool)
    if options.filter:
        keep &= np.isin(filters, [name.strip().upper() for name in options.filter])
    if options.instrument:
        keep &= np.char.find(keys, options.instrument.strip().lower()) >= 0
    if not keep.any():
        present = sorted({f"{k}/{f}" for k, f in zip(keys, filters, strict=True)})
        raise BadConfiguration(
            "no exposure in use has the reference filter and instrument asked for",
            where="reference.filter, reference.instrument",
            next_step=f"In use are: {', '.join(present)}",
        )
    avoided = ["acs_hrc", *(["wfpc2"] if options.avoid_wfpc2 else [])]
    for key in avoided:
        others = keep & (keys != key)
        keep = others if others.any() else keep
    return used[keep]


def _groups(rows: QTable) -> list[ReferenceChoice]:
    members: dict[tuple[str, str, int], list[Any]] = {}
    for row in rows:
        key = (str(row["detector_key"]), str(row["filter"]), int(row["epoch"]))
        members.setdefault(key, []).append(row)
    return [
        ReferenceChoice(*key, exposures={str(r["file"]): _facts_of(r) for r in _deepest_first(of)})
        for key, of in members.items()
    ]


def _deepest_first(rows: list[Any]) -> list[Any]:
    return sorted(
        rows,
        key=lambda r: (-r["exptime"].to_value("s"), r["mjd_start"].to_value("d"), r["file"]),
    )


def _facts_of(row: Any) -> tuple[str, float]:
    return str(row["rootname"]), float(row["exptime"].to_value("s"))


# ----------------------------------------------------------------------------------- making


def make_reference(workdir: WorkDir, settings: Settings, *, redo: bool = False) -> Made:
    """Make the reference image, or take the user's as it is.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; its exposure table must stand.
    settings : Settings
        Sections reference, alignment, gate, drizzle, target and machine.
    redo : bool, optional
        Choose and build afresh.

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
        return _take_users_image(workdir, settings, settings.reference.image, redo=redo)
    table = read_table(workdir.target_exposures)
    digests = {file.name: file.sha256 for file in raw_ledger(workdir)}
    standing = None if redo else _standing_choice(workdir, table, digests, settings)
    choice = standing or choose_reference(table, settings)
    recipe = Recipe(
        stage=STAGE,
        code_version=CODE_VERSION,
        inputs=_inputs(choice, digests),
        settings={
            "target": settings.target.as_recipe(),
            "alignment": settings.alignment.as_recipe(),
            "gate": settings.gate.as_recipe(),
            "drizzle": settings.drizzle.as_recipe(),
        },
        tools=TOOLS,
    )
    product = workdir.reference_image(choice.band, choice.epoch, settings.drizzle.object_name)
    return make(
        recipe,
        product,
        workdir,
        lambda: _build(workdir, settings, choice, recipe, product),
        redo=redo,
    )


def _inputs(choice: ReferenceChoice, digests: Mapping[str, str]) -> dict[str, str]:
    """Digests of the chosen files and their companions."""
    inputs = {}
    for name in choice.exposures:
        for each in (name, name.replace("_c0m.fits", "_c1m.fits")):
            if each not in digests:
                raise MissingProduct(
                    "the exposure is not in the ledger of raw/",
                    where=f"raw/{each}",
                    next_step="Ingest it again",
                )
            inputs[f"raw:{each}"] = digests[each]
    return inputs


def _standing_choice(
    workdir: WorkDir, table: QTable, digests: Mapping[str, str], settings: Settings
) -> ReferenceChoice | None:
    """The choice on record, if all it rests on is still so."""
    note = _read_note(workdir)
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


def _read_note(workdir: WorkDir) -> dict[str, Any] | None:
    try:
        note: dict[str, Any] = json.loads(workdir.reference_choice.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return note


@dataclass
class _Members:
    """The exposures of a reference after their alignment to each other."""

    anchor: Target
    n_anchor_stars: int
    used: list[Path]
    kept_a_priori: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)


def _build(
    workdir: WorkDir, settings: Settings, choice: ReferenceChoice, recipe: Recipe, product: Path
) -> Result:
    with workdir.scratch(STAGE) as scratch:
        members = _relative_alignment(workdir, settings, choice, scratch)
        detector = DETECTORS[choice.detector_key]
        outlines = [outline for path in members.used for outline in exposure_outlines(path)]
        ra, dec = settings.target.ra_deg, settings.target.dec_deg
        if ra is None or dec is None:
            ra, dec = shared_tangent_point(outlines)
        frame = covering_frame(
            [outlines],
            ra_deg=ra,
            dec_deg=dec,
            scale_arcsec=settings.drizzle.scale_arcsec or detector.drizzle_scale_arcsec,
            size_pix=settings.drizzle.size_pix,
        )
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
        )
        n_stars = _catalogue(workdir, settings, detector, members, product, scratch)
    facts = _facts(choice, members, workdir, product)
    facts |= {"n_stars": n_stars, "exptime_s": report.exptime_s, "problems": list(report.problems)}
    _write_note(
        workdir,
        {
            "image": workdir.relative(product),
            "user": False,
            "anchor": members.anchor.raw.name,
            "choice": choice.as_json(),
            "inputs": {key.removeprefix("raw:"): sha for key, sha in recipe.inputs.items()},
            "left_out": members.left_out,
            "settings": _settings_digest(settings),
            "recipe": recipe.digest,
        },
    )
    preview = WorkDir.preview(product)
    extra = (preview,) if preview.is_file() else ()
    return Result((product, workdir.reference_choice, workdir.reference_catalog, *extra), facts)


def _relative_alignment(
    workdir: WorkDir, settings: Settings, choice: ReferenceChoice, scratch: Path
) -> _Members:
    """Bring the exposures onto the deepest one that can be read."""
    targets = [
        Target(workdir.raw / name, rootname, choice.detector_key)
        for name, (rootname, _) in choice.exposures.items()
    ]
    catalogue = scratch / "anchor.ecsv"
    unreadable: dict[str, str] = {}
    for anchor in targets:
        folder = scratch / f"{anchor.rootname}.anchor"
        folder.mkdir()
        itself = untouched(anchor, folder, status="SKIPPED", method="none", reason="")
        try:
            n_stars = catalogue_of_exposure(
                anchor, catalogue, settings=settings, workdir=workdir, scratch=scratch
            )
        except HstAssetsError as error:
            unreadable[anchor.raw.name] = str(error.what)
            continue
        if itself.files:
            break
        unreadable[anchor.raw.name] = itself.reason
    else:
        raise UnusableInput(
            f"none of the {len(targets)} exposures chosen for the reference can be used: "
            + "; ".join(sorted(set(unreadable.values()))),
            where=choice.band,
        )
    members = _Members(anchor, n_stars, [itself.files[0]], left_out=unreadable)
    others = [t for t in targets if t != anchor and t.raw.name not in unreadable]
    for target, outcome in zip(
        others, _aligned_or_skipped(others, catalogue, workdir, settings, scratch), strict=True
    ):
        _admit(members, target, outcome, settings)
    return members


def _aligned_or_skipped(
    targets: Sequence[Target],
    catalogue: Path,
    workdir: WorkDir,
    settings: Settings,
    scratch: Path,
) -> list[Outcome]:
    if not settings.alignment.skip_tweakreg:
        return align(
            targets,
            catalogue,
            settings=settings,
            workdir=workdir,
            scratch=scratch,
            stage=STAGE,
        )
    outcomes = []
    for target in targets:
        folder = scratch / target.rootname
        folder.mkdir()
        outcomes.append(untouched(target, folder, status="SKIPPED", method="none", reason=""))
    return outcomes


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
        "HIERARCH HST123 ALIGNMT": ("none" if members.kept_a_priori else "tweakreg", ""),
        "HIERARCH HST123 ALIGNRF": (members.anchor.rootname, ""),
        "HIERARCH HST123 ALIGNDG": (recipe.digest[:40], ""),
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
            fwhm_arcsec=detector.fwhm_pix * detector.pixel_scale_arcsec * _DRIZZLE_BLUR,
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
        "log": workdir.relative(workdir.log(STAGE, members.anchor.rootname)),
    }


def _write_note(workdir: WorkDir, note: dict[str, Any]) -> None:
    with write_atomically(workdir.reference_choice) as part:
        part.write_text(json.dumps(note, indent=1, sort_keys=True))


# ------------------------------------------------------------------------- the user's image


def _take_users_image(workdir: WorkDir, settings: Settings, image: Path, *, redo: bool) -> Made:
    path = image if image.is_absolute() else workdir.base / image
    if not path.is_file():
        raise BadConfiguration("the reference image is not there", where=path)
    recipe = Recipe(
        stage=STAGE,
        code_version=CODE_VERSION,
        inputs={"image": sha256_of_file(path)},
        tools=TOOLS,
    )
    return make(
        recipe,
        workdir.reference_choice,
        workdir,
        lambda: _adopt(workdir, settings, path, recipe),
        redo=redo,
    )


def _adopt(workdir: WorkDir, settings: Settings, path: Path, recipe: Recipe) -> Result:
    with workdir.scratch(STAGE) as scratch, write_atomically(workdir.reference_catalog) as part:
        n_stars = catalogue_of_image(
            path,
            part,
            fwhm_arcsec=_fwhm_arcsec(path),
            settings=settings,
            workdir=workdir,
            scratch=scratch,
        )
    if n_stars == 0:
        raise UnusableInput("no stars were found on the reference image", where=path)
    _write_note(
        workdir,
        {
            "image": workdir.relative(path),
            "user": True,
            "inputs": {str(path): recipe.inputs["image"]},
            "settings": _settings_digest(settings),
            "recipe": recipe.digest,
        },
    )
    facts = {"image": workdir.relative(path), "band": "user", "n_stars": n_stars}
    return Result((workdir.reference_choice, workdir.reference_catalog), facts)


def _fwhm_arcsec(path: Path) -> float:
    """FWHM of a star on an image, from the instrument its header names."""
    header = fits.getheader(path, 0)
    try:
        row = detector_for(str(header.get("INSTRUME", "")), str(header.get("DETECTOR", "")))
    except UnusableInput:
        return _UNKNOWN_FWHM_ARCSEC
    return row.fwhm_pix * row.pixel_scale_arcsec * _DRIZZLE_BLUR


# ---------------------------------------------------------------------------------- reading


def read_reference(workdir: WorkDir) -> ReferenceFrame:
    """The reference that stands.

    Raises
    ------
    MissingProduct
        If none was made, or its image or catalogue is gone.
    """
    note = _read_note(workdir)
    next_step = "Materialize reference_image"
    if note is None:
        raise MissingProduct(
            "no reference was chosen yet", where=workdir.reference_choice, next_step=next_step
        )
    image = workdir.absolute(note["image"])
    for path in (image, workdir.reference_catalog):
        if not path.is_file():
            raise MissingProduct(
                "the reference is no longer there", where=path, next_step=next_step
            )
    record = read_record(workdir.reference_choice if note["user"] else image)
    if record is None:
        raise MissingProduct("the reference was not finished", where=image, next_step=next_step)
    name = re.sub(r"\.drc\.fits$|\.fits$", "", image.name)
    return ReferenceFrame(
        image, workdir.reference_catalog, record.digest, name, note.get("anchor", "")
    )

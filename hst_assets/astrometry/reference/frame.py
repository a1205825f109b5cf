"""The reference as later stages see it, and the note in which it is written down.

Recipe and note hold the same things, whether it was built here or is the user's image.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hst_assets.astrometry.absolute.catalog import make_absolute_catalog
from hst_assets.astrometry.absolute.frame import Tie
from hst_assets.astrometry.recipes import uses_absolute_catalog
from hst_assets.astrometry.reference.choice import ReferenceChoice
from hst_assets.astrometry.shape_limits import ShapeVerdict
from hst_assets.failures import MissingProduct
from hst_assets.provenance import Recipe, digest_of, read_record, without_defaults
from hst_assets.provenance.former_values import FORMER_REFERENCE_SETTINGS
from hst_assets.settings import ReferenceSettings, Settings
from hst_assets.workdir import WorkDir, write_atomically

__all__ = [
    "ABSOLUTE_INPUT",
    "DRIZZLE_BLUR",
    "STAGE",
    "ReferenceFrame",
    "absolute_input",
    "absolute_noted",
    "read_note",
    "read_reference",
    "settings_digest",
    "settings_digests",
    "tie_noted",
    "write_note",
]

STAGE = "reference_image"
#: Drizzling widens stars by about this factor.
DRIZZLE_BLUR = 1.1
#: Key of the absolute catalogue's digest, in the reference's recipe and in the note on it.
ABSOLUTE_INPUT = "absolute_catalog"


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
    n_members : int
        Exposures in the image; 0 for a user's image.
    n_failed : int
        Exposures that were to be in it and could not be aligned to the anchor.
    n_stars : int
        Stars in the catalogue.
    absolute : `~pathlib.Path` or None
        The absolute catalogue, where the frame is that of the catalogue.
    not_absolute : str
        Why it is not.
    anchor_shapes : ShapeVerdict or None
        What is said of the shapes of the anchor's stars; None where nobody looked.
    """

    image: Path
    catalogue: Path
    digest: str
    name: str
    anchor: str = ""
    n_members: int = 0
    n_failed: int = 0
    n_stars: int = 0
    absolute: Path | None = None
    not_absolute: str = ""
    anchor_shapes: ShapeVerdict | None = None

    def is_alone(self, name: str) -> bool:
        """Whether the image is made of exposure file `name` and nothing else."""
        return self.n_members == 1 and name == self.anchor


def read_reference(workdir: WorkDir) -> ReferenceFrame:
    """The existing reference.

    Raises
    ------
    MissingProduct
        If none was made, its image or catalogue is gone, or the absolute catalogue is not the one
        that it was brought onto.
    """
    note = read_note(workdir) or _note_to_come(workdir)
    next_step = "Materialize reference_image"
    if note is None:
        raise MissingProduct(
            "no reference has been chosen yet", where=workdir.reference_choice, next_step=next_step
        )
    image = workdir.absolute(note["image"])
    for path in (image, workdir.reference_catalog):
        if not path.is_file():
            raise MissingProduct("the reference is missing", where=path, next_step=next_step)
    record = read_record(workdir.reference_choice if note["user"] else image)
    if record is None:
        raise MissingProduct("the reference was not finished", where=image, next_step=next_step)
    name = re.sub(r"\.drc\.fits$|\.fits$", "", image.name)
    return ReferenceFrame(
        image,
        workdir.reference_catalog,
        record.digest,
        name,
        note.get("anchor", ""),
        n_members=note.get("n_members", 0),
        n_failed=note.get("n_failed", 0),
        n_stars=note.get("n_stars", 0),
        absolute=_absolute(workdir, note),
        not_absolute=_not_absolute(note),
        anchor_shapes=_anchor_shapes(note),
    )


def _note_to_come(workdir: WorkDir) -> dict[str, Any] | None:
    """Where nothing is written, the lost note that a run would write again; else None."""
    if not workdir.looked_at:
        return None
    records = map(read_record, sorted(workdir.base.glob("*.ref_*.drc.fits")))
    notes: list[dict[str, Any]] = [
        each.facts["note"] for each in records if each and "note" in each.facts
    ]
    return notes[0] if len(notes) == 1 else None


def _anchor_shapes(note: dict[str, Any]) -> ShapeVerdict | None:
    shapes = note.get("anchor_shapes")
    return None if shapes is None else ShapeVerdict.from_json(shapes)


def _absolute(workdir: WorkDir, note: dict[str, Any]) -> Path | None:
    tie = note.get("tie")
    if tie is None or not tie["absolute"]:
        return None
    record = read_record(workdir.absolute_catalog)
    if record is None or record.digest != note.get(ABSOLUTE_INPUT):
        raise MissingProduct(
            "the absolute catalogue is not the one to which the reference was aligned",
            where=workdir.absolute_catalog,
            next_step="Materialize reference_image",
        )
    return workdir.absolute_catalog


def _not_absolute(note: dict[str, Any]) -> str:
    tie = note.get("tie")
    if tie is None:
        return "the reference was made without the method catalog"
    return "" if tie["absolute"] else f"the frame is not absolute ({tie['reason']})"


def read_note(workdir: WorkDir) -> dict[str, Any] | None:
    """The note on the reference; None if there is none or it is damaged."""
    try:
        note: dict[str, Any] = json.loads(workdir.reference_choice.read_bytes())
        _parse(note)
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None  # ValueError: also what is no JSON, or no UTF-8
    return note


def _parse(note: dict[str, Any]) -> None:
    """Read what is in a note, so that one that is damaged is not taken for whole."""
    str.lower(note["image"])
    if not note["user"]:
        ReferenceChoice.from_json(note["choice"])
        _ = note["settings"], note["inputs"].items()
    if (tie := note.get("tie")) is not None:
        _ = tie["absolute"] or tie["reason"]
    _anchor_shapes(note)


def write_note(workdir: WorkDir, note: dict[str, Any]) -> None:
    """Write the note on the reference."""
    with write_atomically(workdir.reference_choice) as part:
        part.write_text(json.dumps(note, indent=1, sort_keys=True))


def absolute_input(workdir: WorkDir, settings: Settings) -> dict[str, str]:
    """The absolute catalogue as a recipe's input, made if need be; nothing where none is used."""
    if not uses_absolute_catalog(settings):
        return {}
    return {ABSOLUTE_INPUT: make_absolute_catalog(workdir, settings).digest}


def settings_digest(settings: Settings) -> str:
    """Of the settings that a choice was made under."""
    return digest_of(_chosen_under(settings))


def settings_digests(settings: Settings) -> set[str]:
    """The digests under which a note may have these settings: today's, and the former's.

    Of the section, notes once held the digest with all defaults.
    """
    chosen = _chosen_under(settings)
    return {digest_of(chosen), digest_of({**FORMER_REFERENCE_SETTINGS, **chosen})}


def _chosen_under(settings: Settings) -> dict[str, Any]:
    defaults = ReferenceSettings().as_recipe()
    return without_defaults(settings.reference.as_recipe(), defaults)


def tie_noted(tie: Tie | None) -> dict[str, Any]:
    """How the frame is tied to the absolute catalogue, for note and facts."""
    return {} if tie is None else {"tie": tie.as_json()}


def absolute_noted(recipe: Recipe) -> dict[str, str]:
    """Which absolute catalogue the frame was tied to, for the note."""
    return {key: recipe.inputs[key] for key in (ABSOLUTE_INPUT,) if key in recipe.inputs}

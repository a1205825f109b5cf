"""What recipe and note of a reference hold alike, whether it was built here or is the user's."""

from __future__ import annotations

from typing import Any

from hst_assets.astrometry.absolute.catalog import make_absolute_catalog
from hst_assets.astrometry.absolute.frame import Tie
from hst_assets.astrometry.recipes import uses_absolute_catalog
from hst_assets.astrometry.reference.frame import ABSOLUTE_INPUT
from hst_assets.former_records import FORMER_REFERENCE_SETTINGS
from hst_assets.provenance import Recipe, digest_of, without_defaults
from hst_assets.settings import ReferenceSettings, Settings
from hst_assets.workdir import WorkDir

__all__ = [
    "DRIZZLE_BLUR",
    "STAGE",
    "absolute_input",
    "absolute_noted",
    "settings_digest",
    "settings_digests",
    "tie_noted",
]

STAGE = "reference_image"
#: Drizzling widens stars by about this factor.
DRIZZLE_BLUR = 1.1


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

"""What a command line asks for: where, and with which settings, written down for the target."""

from __future__ import annotations

import math
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from hst_assets.cli.position_argument import read_position
from hst_assets.cli.setting_options import Changes
from hst_assets.cli.terminal import output
from hst_assets.cli.work_directory import name_of_object, name_of_position
from hst_assets.failures import BadConfiguration
from hst_assets.settings import Settings, load_settings, write_settings
from hst_assets.workdir import WorkDir

__all__ = [
    "Place",
    "asked_settings",
    "describe",
    "place_from",
    "refuse_move",
    "show_changes",
    "tentatively",
]

#: The same place in another notation.
_SAME_ARCSEC = 0.1
_ARCSEC = 3600.0
#: How the archive is reached; not part of the query.
_NOT_ASKED = {
    *("query", "tree", "mast_url", "sesame_url", "s3_url", "s3", "n_workers", "timeout_s"),
    *("max_tries", "first_wait_s", "listing_max_age_s"),
}
_ARCHIVE_SECTIONS = ("target", "archive", "selection")


@dataclass(frozen=True)
class Place:
    """Where: a position (ICRS, degrees), or a name that is to be resolved, or neither."""

    position: tuple[float, float] | None = None
    name: str | None = None

    def target_name(self, proposals: Sequence[str] = ()) -> str | None:
        """The name of a target without another name; None if there is no query."""
        if self.name is not None:
            return name_of_object([self.name])
        if self.position is not None:
            return name_of_position(self.position)
        return name_of_object(["proposal", *proposals]) if proposals else None


def place_from(words: list[str] | None, name: str | None) -> Place:
    """The place that arguments and ``--name`` give.

    Raises
    ------
    BadConfiguration
        If both are given, or the words are no position.
    """
    position = read_position(words)
    if position is not None and name is not None:
        raise BadConfiguration("give a position or --name, not both", where=name)
    if name is not None and not name.strip():
        raise BadConfiguration("the name is empty", where="--name")
    return Place(position, None if name is None else name.strip())


def asked_settings(workdir: WorkDir, place: Place, changes: Changes, *, query: bool) -> Changes:
    """All that is to be written to a target's settings, after names are resolved.

    Parameters
    ----------
    workdir : WorkDir
        The target's, whether it exists or not.
    place : Place
        Where.
    changes : dict
        What options say, see `hst_assets.cli.setting_options.changes_of`.
    query : bool
        Whether to query the archive (from now on).

    Raises
    ------
    BadConfiguration
        If the place is far from that of exposures that are there, or no place is known at all.
    NothingFound, TransientFailure
        If a name is not known, or nobody answers to resolve it.
    """
    standing = load_settings(workdir)
    asked: Changes = {section: dict(values) for section, values in changes.items()}
    target, archive = asked.setdefault("target", {}), asked.setdefault("archive", {})
    position = _resolved(place, standing)
    if position is not None and not _is_same(position, standing):
        _refuse_another_field(workdir, position, standing)
        target.update(ra_deg=position[0], dec_deg=position[1])
    if place.name is not None:
        archive["object"] = place.name
    elif "ra_deg" in target and standing.archive.object is not None:
        archive["object"] = None  # it named another place
    if query:
        archive["query"] = True
    return {section: values for section, values in asked.items() if values}


def _resolved(place: Place, standing: Settings) -> tuple[float, float] | None:
    if place.name is None:
        return place.position
    known = standing.target
    if place.name == standing.archive.object and known.ra_deg is not None:
        return None  # resolved before
    from hst_assets.archive.name_resolver import resolve_name

    ra_deg, dec_deg = resolve_name(
        place.name, sesame_url=standing.archive.sesame_url, timeout_s=standing.archive.timeout_s
    )
    output().print(f"{place.name}: RA {ra_deg:.6f} Dec {dec_deg:.6f} deg (ICRS)", markup=False)
    return ra_deg, dec_deg


def _is_same(position: tuple[float, float], standing: Settings) -> bool:
    return _separation_arcsec(position, standing) < _SAME_ARCSEC


def _separation_arcsec(position: tuple[float, float], standing: Settings) -> float:
    """Distance to the target's position; infinite where it has none."""
    known = standing.target
    if known.ra_deg is None or known.dec_deg is None:
        return math.inf
    if position == (known.ra_deg, known.dec_deg):
        return 0.0
    from hst_assets.sky_geometry import separation_deg  # imports astropy

    return _ARCSEC * float(separation_deg(position, (known.ra_deg, known.dec_deg)))


def _refuse_another_field(
    workdir: WorkDir, position: tuple[float, float], standing: Settings
) -> None:
    from hst_assets.exposures.raw import raw_ledger

    distance = _separation_arcsec(position, standing)
    if math.isinf(distance) or not raw_ledger(workdir):
        return
    if distance > 60.0 * standing.archive.radius_arcmin:
        raise BadConfiguration(
            f"holds exposures of another field, {distance / _ARCSEC:.3g} degrees away "
            f"(RA {standing.target.ra_deg:.5f} Dec {standing.target.dec_deg:.5f})",
            where=workdir.base,
            next_step="Choose another folder or target name",
        )
    output().print(f"the target moves by {distance:.1f} arcsec: its products will be remade")


def refuse_move(workdir: WorkDir, asked: Changes) -> None:
    """Raise if a target would be somewhere else on the sky.

    Raises
    ------
    BadConfiguration
        It names both places.
    """
    new, standing = asked.get("target", {}), load_settings(workdir).target
    if "ra_deg" not in new or standing.ra_deg is None:
        return
    raise BadConfiguration(
        f"is at RA {standing.ra_deg:.6f} Dec {standing.dec_deg:.6f}, "
        f"not at RA {new['ra_deg']:.6f} Dec {new['dec_deg']:.6f}",
        where=workdir.target,
        next_step="Give --move if it is to be there, or choose another name",
    )


def show_changes(asked: Changes) -> None:
    """Print each setting that is written, under its own name."""
    for section, values in asked.items():
        for key, value in values.items():
            if section != "target" and key != "query":
                output().print(f"{section}.{key} = {value}", highlight=False, markup=False)


def describe(settings: Settings) -> str:
    """What is looked for, in one line: place, and all that was chosen of archive and selection."""
    place = settings.target
    parts = []
    if place.ra_deg is not None:
        parts.append(f"RA {place.ra_deg:.6f} Dec {place.dec_deg:.6f} deg (ICRS)")
    plain = Settings()
    for section in ("archive", "selection"):
        chosen, default = getattr(settings, section), getattr(plain, section)
        for key, value in chosen.as_recipe().items():
            if key not in _NOT_ASKED and value != default.as_recipe()[key]:
                parts.append(f"{key} {_in_words(value)}")
    return ", ".join(parts)


def _in_words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


@contextmanager
def tentatively(workdir: WorkDir, asked: Changes) -> Iterator[WorkDir]:
    """A work directory to ask the archive in, which leaves nothing behind.

    It has a root of its own, with those settings of `workdir` and `asked` that are about the
    archive.
    """
    with tempfile.TemporaryDirectory(prefix="hst_assets_") as folder:
        trial = WorkDir(Path(folder), workdir.target).create()
        for path, copy in (
            (workdir.root_settings_file, trial.root_settings_file),
            (workdir.settings_file, trial.settings_file),
        ):
            if path.is_file():
                sections = tomllib.loads(path.read_text(encoding="utf-8-sig"))
                copy.write_text(tomlkit.dumps(_about_the_archive(sections)))
        with _told_of(workdir, instead_of=trial):
            write_settings(trial, _about_the_archive(asked))
        yield trial


@contextmanager
def _told_of(workdir: WorkDir, *, instead_of: WorkDir) -> Iterator[None]:
    """Name the user's settings in a failure, in place of a copy that is gone afterwards."""
    try:
        yield
    except BadConfiguration as error:
        if error.where is None:
            raise
        where = error.where.replace(str(instead_of.root), str(workdir.root))
        raise BadConfiguration(error.what, where=where, next_step=error.next_step) from error


def _about_the_archive(sections: Changes) -> Changes:
    return {name: values for name, values in sections.items() if name in _ARCHIVE_SECTIONS}

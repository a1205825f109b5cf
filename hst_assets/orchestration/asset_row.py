"""A row of the table of assets: all that is said of one asset.

No row belongs here; they are in `hst_assets.orchestration.asset_table`, and the graph that follows
from them in `hst_assets.orchestration.levels`. None of the three needs Dagster, so that the command
line can read them quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from hst_assets.failures import BadConfiguration
from hst_assets.orchestration.checks import Check
from hst_assets.workdir import WorkDir

__all__ = ["HEAVY", "LIGHT", "AssetRow", "RedoKind", "Resources"]

#: Names that stand for those of a target and a visit where a path is printed.
_A_TARGET, _A_VISIT = "TARGET", "vvvvvv"


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one step needs of the machine that runs it.

    Attributes
    ----------
    memory_gb : float
        Peak memory, children included.
    cores : int
        Processes at work at a time; the machine's own limit (``machine.max_cores``) also holds.
    """

    memory_gb: float = 1.0
    cores: int = 1


#: Reading headers and hashing files.
LIGHT = Resources()
#: Tools on whole frames: two at a time (machine.max_cores), each with a pair of 4096 x 2051 chips.
HEAVY = Resources(memory_gb=8.0, cores=2)


@dataclass(frozen=True, kw_only=True)
class RedoKind:
    """A kind of work that a user may order again: a field of a run's configuration and an option.

    Attributes
    ----------
    name : str
        As rows name it; the field is ``redo_<name>``.
    help : str
        One sentence.
    options : tuple of str
        Names on the command line besides ``--redo-<name>``.
    """

    name: str
    help: str
    options: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        """The field of a run's configuration."""
        return f"redo_{self.name}"

    @property
    def option(self) -> str:
        """The option of the command line."""
        return f"--redo-{self.name}"


@dataclass(frozen=True, kw_only=True)
class AssetRow:
    """One asset, all that is said of it.

    Attributes
    ----------
    name : str
        The asset's key.
    per : {"visit", "target"}
        Its partitions.
    job : str
        The level it is made in, with others of the same partitions.
    group, owner : str
        As the UI shows them.
    description : str
        One sentence; the file's path is added to it.
    contents : str
        What is in the file and beside it, with units, in a sentence or two for the UI.
    path : str
        The product's file: a property of `WorkDir`, or of a visit a method of it. Empty for a
        pointer, which has no file.
    file : str
        How the path is printed where it is not the same for every target.
    make : str
        ``module:function`` that makes the product, imported when it runs. Called with the work
        directory, then the visit, or the visits where it gathers, then the settings, and ``redo``;
        its record has the digests of what it is made from among the recipe's inputs.
    body : str
        ``module:function`` from the row to an asset written by hand, where more is to be done than
        to call `make`. Its configuration is `Redo`, but for the archive's, which takes none. `make`
        then tells whether the product would be made (`hst_assets.orchestration.forecast`).
    wanted : str
        ``section.key`` of a setting without which (unset, or false) the asset is made only when it
        is named; empty for what every run makes. The rows of a level have the same.
    stages : tuple of str
        The stages of provenance whose code decides the product.
    after : tuple of str
        Upstream assets of the same partitions.
    follows : tuple of str
        Assets of the same partitions that it shows if they exist. It is made after them and remade
        when they change; it is also made without them, and does not cause them to be made.
    follows_visits : tuple of str
        The same, of assets of the target's visits.
    copies : bool
        Whether it copies the files of its upstream assets and of those that it follows. A run of it
        is then requested also when they were made again by the same recipe.
    gathers : str or None
        Upstream asset of the target's visits.
    scatters : str or None
        Upstream asset of the visit's target, whose version a pointer hands on.
    source : {"", "archive", "raw"}
        What the asset reads besides assets: the archive's answer, or the files of raw/.
    tells : bool
        Whether `make` takes ``progress``: a callable that it calls with its progress, an object
        whose text is one line.
    tries_again : bool
        Whether its step is retried some time after a temporary failure, in runs that nobody waits
        for.
    redo : tuple of str
        Kinds of work, each of which remakes it when ordered again.
    checks : tuple of Check
        What must hold of the product.
    kinds : frozenset of str
        Formats of the files, as the UI marks them. Which tools made a product is told of each
        materialization (`made_with`): the settings choose among them.
    pool : str or None
        Steps of one pool are limited across runs.
    resources : Resources
        What a step needs.
    cleanable : mapping
        Stage of provenance to a description of its products in workspace/, which
        ``clean --working-copies`` removes.
    """

    name: str
    per: Literal["visit", "target"]
    job: str
    group: str
    description: str
    contents: str = ""
    path: str = ""
    file: str = ""
    make: str = ""
    body: str = ""
    wanted: str = ""
    stages: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    follows_visits: tuple[str, ...] = ()
    copies: bool = False
    gathers: str | None = None
    scatters: str | None = None
    source: Literal["", "archive", "raw"] = ""
    tells: bool = False
    tries_again: bool = False
    redo: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    kinds: frozenset[str] = frozenset()
    pool: str | None = None
    resources: Resources = Resources()
    owner: str = "team:hst_assets"
    cleanable: Mapping[str, str] = field(default_factory=dict)

    @property
    def by_visit(self) -> bool:
        """Whether its partitions are visits."""
        return self.per == "visit"

    @property
    def upstream(self) -> tuple[str, ...]:
        """Every asset that it is made from."""
        return tuple(filter(None, (*self.after, self.gathers, self.scatters)))

    @property
    def shown(self) -> tuple[str, ...]:
        """Every asset that it follows without being made from it."""
        return (*self.follows, *self.follows_visits)

    @property
    def printed_path(self) -> str:
        """The product's file relative to the work directory; empty for a pointer."""
        if not self.path or self.file:
            return self.file
        workdir = WorkDir(Path("/"), _A_TARGET)
        path = self.product(workdir, _A_VISIT if self.by_visit else None)
        return workdir.relative(path).replace(_A_VISIT, "<visit>")

    def product(self, workdir: WorkDir, visit: str | None = None) -> Path:
        """The product's file.

        Raises
        ------
        BadConfiguration
            If it is a pointer.
        """
        if not self.path:
            raise BadConfiguration("this asset has no file of its own", where=self.name)
        found = getattr(workdir, self.path)
        path: Path = found(visit) if self.by_visit else found
        return path

    def maker(self) -> Callable[..., Any]:
        """The science function that makes the product."""
        return _imported(self.make)

    def hand_written(self) -> Callable[..., Any]:
        """The function that writes the asset, where `make` does not do."""
        return _imported(self.body)


def _imported(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found

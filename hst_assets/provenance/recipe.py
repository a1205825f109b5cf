"""What decides what a product will be, and its digest."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from hst_assets.detectors import Detector
from hst_assets.digests import digest_of
from hst_assets.provenance.adoption import former_digests
from hst_assets.stages import code_versions, figures_read_by
from hst_assets.workdir import WorkDir

__all__ = ["Recipe", "tool_version", "without_defaults"]


@cache
def tool_version(distribution: str) -> str:
    """The installed version of `distribution`, or ``"absent"``."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "absent"


def without_defaults(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The values that differ from the defaults, table by table; empty tables are left out."""
    kept: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            known = defaults.get(key)
            inner = without_defaults(value, known if isinstance(known, Mapping) else {})
            if inner:
                kept[key] = inner
        elif key not in defaults or not _is_same(value, defaults[key]):
            kept[key] = value
    return kept


def _is_same(one: Any, other: Any) -> bool:
    """As JSON: 1, 1.0 and true are equal in Python only, and so are 0.0 and -0.0."""
    if type(one) is type(other) and _is_plain(one):
        return bool(one == other)
    return _as_json(one) == _as_json(other)


def _is_plain(value: Any) -> bool:
    """Whether Python tells it from others of its type as JSON does: in a tenth of the time."""
    if isinstance(value, float):
        return math.isfinite(value) and value != 0.0
    return isinstance(value, str | int)


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


@dataclass(frozen=True)
class Recipe:
    """All that decides what a product will be.

    Parameters
    ----------
    stage : str
        The step, such as ``"aligned_exposures"``.
    code_version : str
        Version of the step's own code; by default that of `hst_assets.stages.STAGES`.
    inputs : mapping
        Digest of each input by name. An input made by this project is named by its own recipe's
        digest, a foreign file by its SHA-256.
    settings : mapping
        The settings in force that matter to this step, as JSON; no others.
    tools : iterable of str
        Distributions whose version matters.
    defaults : mapping
        The same settings as they are by default. Values that are the default are not part of the
        digest, so that a new setting makes nothing again; a changed default is a change of code.
    detectors : sequence of Detector
        The detectors of the exposures; of each, the figures matter that this step reads
        (`hst_assets.stages.Stage.figures`).
    uses : tuple of str
        Other stages whose code works inside this one.
    former : str
        The digest by which a work directory from before format 2 knows this recipe; see
        `known_in`.
    """

    stage: str
    code_version: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    detectors: tuple[Detector, ...] = ()
    uses: tuple[str, ...] = ()
    former: str = ""

    def as_json(self) -> dict[str, Any]:
        """The recipe as a JSON object, tool versions resolved, defaults left out."""
        own = {self.stage: self.code_version} if self.code_version else code_versions([self.stage])
        return {
            "stage": self.stage,
            "code": {**own, **code_versions(self.uses)},
            "inputs": dict(self.inputs),
            "settings": without_defaults(self.settings, self.defaults),
            "detectors": {key: row for key, row in self._figures() if row},
            "tools": {name: tool_version(name) for name in sorted(self.tools)},
        }

    def _figures(self) -> Iterator[tuple[str, dict[str, Any]]]:
        names = figures_read_by((self.stage, *self.uses))
        for row in sorted(self.detectors, key=lambda row: row.key):
            yield row.key, row.figures(names)

    @property
    def digest(self) -> str:
        """SHA-256 of the recipe, or the digest by which the work directory knows it."""
        return self.former or digest_of(self.as_json())

    def known_in(self, workdir: WorkDir) -> Recipe:
        """The recipe under the digest that this work directory knows it by.

        A product that was made before records had a format keeps its digest, in the names of
        inputs downstream, in headers and in Dagster, also when it is made again.
        """
        if self.former:
            return self
        return replace(self, former=former_digests(workdir).get(self.digest, ""))

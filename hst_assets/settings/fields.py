"""The kinds of values that several sections of the settings hold, and what a section is."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from hst_assets.detectors import DETECTORS

__all__ = [
    "NOT_REPEATED",
    "DetectorKey",
    "Names",
    "NotNegative",
    "PerDetector",
    "Positive",
    "Section",
    "UserPath",
    "as_sequence",
    "from_home",
]


#: Type of pydantic's error about a value that is not repeated: there may be a key in it.
NOT_REPEATED = "not_repeated"


def as_sequence(value: Any) -> Any:
    """One name or number where several may stand."""
    return (value,) if isinstance(value, str | int) else value


def from_home(path: Path) -> Path:
    """A path with the home folder in place of a leading ``~``.

    Raises
    ------
    ValueError
        If the user named behind the ``~`` is not known.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:  # ~name of nobody
        raise ValueError(str(error)) from error


def _known_detector(key: str) -> str:
    if key not in DETECTORS:
        raise ValueError(f"not a detector; known are {', '.join(DETECTORS)}")
    return key


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Names = Annotated[tuple[str, ...], BeforeValidator(as_sequence)]
DetectorKey = Annotated[str, AfterValidator(_known_detector)]
UserPath = Annotated[Path, AfterValidator(from_home)]
PerDetector = dict[DetectorKey, Positive]


class Section(BaseModel):
    """One table of the settings: unknown keys are errors, and nothing is changed in place.

    The docstring below a field is its meaning, in the first paragraph what the command line's help
    says and in the others what only the documentation adds.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        # What is wrong is told with its value where that may be shown (`settings.files`).
        hide_input_in_errors=True,
    )

    @classmethod
    def meaning(cls, key: str) -> str:
        """What the setting `key` means, in one line of text."""
        return " ".join(_docstrings(cls).get(key, "").split())

    @classmethod
    def summary(cls, key: str) -> str:
        """The first paragraph of the meaning of `key`, without the marks of code."""
        first, _, _ = _docstrings(cls).get(key, "").partition("\n\n")
        return " ".join(first.replace("`", "").split())

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """The section itself, which nobody changes in place.

        pydantic copies each default, which took a third of the time of reading settings. For the
        same reason ``model_copy(deep=True, update=...)`` must not be used: it changes the copy.
        """
        return self

    def as_recipe(self) -> dict[str, Any]:
        """The section as JSON, for a recipe."""
        return self.model_dump(mode="json")


@functools.cache
def _docstrings(section: type[Section]) -> dict[str, str]:
    """The docstring below each field of a section, its own and inherited ones.

    They are read when somebody wants one: pydantic's ``use_attribute_docstrings`` reads them at
    each import of the settings, 50 ms of each process that never prints a help.
    """
    found: dict[str, str] = {}
    for base in reversed(section.__mro__):
        if issubclass(base, Section) and base is not Section:
            found.update(_docstrings_of_class(base))
    return found


def _docstrings_of_class(section: type) -> Iterator[tuple[str, str]]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(definition, ast.ClassDef)
    for field, below in itertools.pairwise(definition.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match below:
                case ast.Expr(ast.Constant(str() as text)):
                    yield field.target.id, inspect.cleandoc(text)

"""How a fitting tool is run in a child process: where it stands, and what its errors mean."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hst_assets.failures import UnusableInput

__all__ = ["NUMERIC_ERRORS", "inside", "numerics_refused"]

#: What numerics raise on lists that they cannot match or fit.
NUMERIC_ERRORS = (ArithmeticError, LookupError, RuntimeError, ValueError)


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Stand in `folder` meanwhile; only for a child process of its own."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)


@contextmanager
def numerics_refused(
    what: str, name: str, *, errors: tuple[type[Exception], ...] = NUMERIC_ERRORS
) -> Iterator[None]:
    """What a tool's numerics raise speaks of the exposure.

    Parameters
    ----------
    what : str
        What has happened then, such as "TweakReg failed".
    name : str
        The exposure, for the failure.
    errors : tuple of type, optional
        What counts as such.

    Raises
    ------
    UnusableInput
        In place of any of `errors`.
    """
    try:
        yield
    except errors as error:
        raise UnusableInput(f"{what}: {type(error).__name__}: {error}", where=name) from error

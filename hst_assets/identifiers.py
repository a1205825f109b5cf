"""Names of targets, visits and exposures, and the rules they obey wherever they enter.

A target name is a folder name and half of a partition key, so its alphabet is narrow: Dagster
accepts `a|b`, `a,b` and `a...b` as partition keys and then misreads them in its command line
(see docs/decisions/0002-partitions.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hst_assets.failures import BadConfiguration

__all__ = ["VisitKey", "validate_target", "validate_visit", "visit_of_rootname"]

MAX_TARGET_LENGTH = 64

_TARGET = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_+-]|\.(?!\.))*")
_VISIT = re.compile(r"[a-z][a-z0-9]{5}")
_ROOTNAME = re.compile(r"[a-z][a-z0-9]{7,8}")


def validate_target(name: str) -> str:
    """Return `name` if it may name a target.

    Raises
    ------
    BadConfiguration
        If it is empty, longer than 64 characters, starts with anything but a letter or digit,
        holds ``..``, or has a character outside ``A-Z a-z 0-9 _ + - .``.
    """
    if not name or len(name) > MAX_TARGET_LENGTH:
        raise BadConfiguration(
            f"a target name has 1 to {MAX_TARGET_LENGTH} characters, not {len(name)}",
            where=repr(name[:80]),
        )
    if not _TARGET.fullmatch(name):
        raise BadConfiguration(
            "not a target name",
            where=repr(name),
            next_step="Use letters, digits, '_', '+', '-' and single dots, starting with a "
            "letter or digit, such as 'ngc104' or 'SN2013fy'",
        )
    return name


def validate_visit(visit: str) -> str:
    """Return `visit` if it is an archive visit id: six lower-case characters, IPPPSS.

    Raises
    ------
    BadConfiguration
        If it is anything else.
    """
    if not _VISIT.fullmatch(visit):
        raise BadConfiguration(
            "not a visit id",
            where=repr(visit[:80]),
            next_step="A visit is the first six characters of its rootnames, such as 'j8bt06'",
        )
    return visit


def visit_of_rootname(rootname: str) -> str:
    """The visit id (IPPPSS) of an exposure's rootname (IPPPSSOOT).

    Raises
    ------
    BadConfiguration
        If `rootname` is not of that form.
    """
    lowered = rootname.strip().lower()
    if not _ROOTNAME.fullmatch(lowered):
        raise BadConfiguration(
            "not an HST rootname", where=repr(rootname[:80]), next_step="Expected IPPPSSOOT"
        )
    return validate_visit(lowered[:6])


@dataclass(frozen=True, order=True)
class VisitKey:
    """One visit of one target: the visit-level partition key, ``target/visit``.

    The target is part of the key because one visit can serve two targets.

    Examples
    --------
    >>> VisitKey.parse("ngc104/j8bt06")
    VisitKey(target='ngc104', visit='j8bt06')
    >>> str(VisitKey("ngc104", "j8bt06"))
    'ngc104/j8bt06'
    """

    target: str
    visit: str

    def __post_init__(self) -> None:
        validate_target(self.target)
        validate_visit(self.visit)

    def __str__(self) -> str:
        return f"{self.target}/{self.visit}"

    @classmethod
    def parse(cls, key: str) -> VisitKey:
        """Read a partition key.

        Raises
        ------
        BadConfiguration
            If `key` is not ``target/visit`` with two valid halves.
        """
        target, slash, visit = key.partition("/")
        if not slash:
            raise BadConfiguration(
                "not a visit key",
                where=repr(key[:80]),
                next_step="Expected 'target/visit'; 'hst-assets visit forget KEY' removes one that "
                "was added by mistake",
            )
        return cls(target, visit)

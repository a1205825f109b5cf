"""Why a product is made: the difference between two recipes in words."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "BESIDE",
    "FIRST",
    "REDO",
    "RETRIED",
    "first_of",
    "flat",
    "is_of_input",
    "reasons_to_remake",
    "shared_reasons",
    "shortened",
]

#: The product has no record, and no file either.
FIRST = "not made before"
#: The user wants it made again.
REDO = "redo requested"
#: It stands, but some of what it lists could not be made, which may work now.
RETRIED = "what failed before is tried again"
#: It stands, but is made in one go with a product that does not.
BESIDE = "made together with another product"
#: At most so many changed inputs, settings or files are named one by one.
_NAMED = 3
_MAX_VALUE = 40
#: For many products of many inputs.
_INPUTS = "inputs changed"
_ABSENT = object()
#: Where a recipe has the user's decisions on single exposures.
_OVERRIDES = "overrides"
#: Whatever else a recipe has among its settings, and how it is called.
_EPOCHS = "epochs."
_FILES = "files."
_FORM = "form"
_NAMES = {"single_epoch": "bands with a single epoch", _FORM: "layout of the page"}
#: AstroDrizzle's parameters in the recipes, by the settings that name them.
_SETTING_BEHIND = {
    "drizzle.parameters.skysub": "drizzle.sky_sub",
    "drizzle.parameters.combine_type": "drizzle.combine_type",
    "drizzle.parameters.final_kernel": "drizzle.kernel",
    "drizzle.parameters.final_pixfrac": "drizzle.pixfrac",
    "drizzle.parameters.final_units": "drizzle.units",
    "drizzle.parameters.final_wht_type": "drizzle.weight_type",
}


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, with dotted keys; empty tables disappear."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            found |= flat(inner, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = inner
    return found


def reasons_to_remake(
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    *,
    in_force_before: Mapping[str, Any],
    in_force_now: Mapping[str, Any],
) -> tuple[str, ...]:
    """What has changed from one recipe to another.

    Parameters
    ----------
    before, now : mapping
        Recipes as JSON (see `hst_assets.provenance.Recipe.as_json`).
    in_force_before, in_force_now : mapping
        All settings in force, from which values are named that recipes leave out because they are
        the defaults.

    Returns
    -------
    tuple of str
        Such as ``"input reference changed"``, ``"setting gate.max_rms_pix 0.5 → 0.4"``,
        ``"detector wfpc2: gain_e_per_dn 7.0 → 7.1"``, ``"code of drizzled_image (3 → 4)"`` and
        ``"tool drizzlepac 3.10.0 → 3.11.0"``; empty if nothing has.
    """
    if before["stage"] != now["stage"]:
        return (f"made by another stage before: {before['stage']}",)
    inputs = before.get("inputs", {}), now.get("inputs", {})
    # The files of an input that changed have changed with it.
    told_by_inputs = {f"{_FILES}{name}" for name, _, _ in _changes(*inputs)}
    return (
        *_named("code", _code(before.get("code", {}), now.get("code", {}))),
        *_named("tools", _tools(before.get("tools", {}), now.get("tools", {}))),
        *_named(
            "detector figures", _figures(before.get("detectors", {}), now.get("detectors", {}))
        ),
        *_named(
            "settings",
            _settings(
                flat(before.get("settings", {})),
                flat(now.get("settings", {})),
                flat(in_force_before),
                flat(in_force_now),
                told_by_inputs,
            ),
        ),
        *_named("inputs", _inputs(*inputs)),
    )


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterable[tuple[str, Any, Any]]:
    for key in sorted({*before, *now}):
        old, new = before.get(key, _ABSENT), now.get(key, _ABSENT)
        if old is _ABSENT or new is _ABSENT or old != new:
            yield key, old, new


def _code(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [
        f"code of {stage} ({_text(old)} → {_text(new)})"
        for stage, old, new in _changes(before, now)
    ]


def _tools(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [f"tool {name} {_text(old)} → {_text(new)}" for name, old, new in _changes(before, now)]


def _figures(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"detector {key.partition('.')[0]}: {key.partition('.')[2]} {_text(old)} → {_text(new)}"
        for key, old, new in _changes(flat(before), flat(now))
    ]


def _settings(
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    in_force_before: Mapping[str, Any],
    in_force_now: Mapping[str, Any],
    left_out: Collection[str],
) -> list[str]:
    told = []
    for key, old, new in _changes(before, now):
        if key in left_out:
            continue
        if key == _OVERRIDES:
            told += _overrides(old, new)
            continue
        # What a recipe leaves out because it is the default was in force all the same.
        old_text = _text(before.get(key, in_force_before.get(key, _ABSENT)))
        new_text = _text(now.get(key, in_force_now.get(key, _ABSENT)))
        short = max(len(old_text), len(new_text)) <= _MAX_VALUE
        name = _called(key)
        is_digest = key == _FORM or key.startswith(_FILES)
        told.append(
            f"{name} {old_text} → {new_text}" if short and not is_digest else f"{name} changed"
        )
    return told


def _called(key: str) -> str:
    """How an entry among the settings of a recipe is called: not all are settings of the user."""
    if key.startswith(_EPOCHS) and key.endswith(".fits"):
        return f"epoch of {key.removeprefix(_EPOCHS)}"
    if key.startswith(_FILES):
        return f"files of {key.removeprefix(_FILES)}"
    if key in _NAMES:
        return _NAMES[key]
    return f"setting {_SETTING_BEHIND.get(key, key)}"


def _overrides(before: Any, now: Any) -> list[str]:
    """Decisions by hand that came, went or changed: ``[rootname, use, reason]`` each."""
    old, new = (
        {row[0]: "used" if row[1] else "rejected" for row in rows} if rows is not _ABSENT else {}
        for rows in (before, now)
    )
    told = []
    for name, was, becomes in _changes(old, new):
        words = ["not decided" if each is _ABSENT else each for each in (was, becomes)]
        told.append(f"override of {name}: {words[0]} → {words[1]}")
    return told or ["overrides: reasons changed"]


def _inputs(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    told = []
    for key, old, new in _changes(before, now):
        name = key.removeprefix("raw:").removeprefix("other:")
        if old is _ABSENT:
            told.append(f"new input {name}")
        elif new is _ABSENT:
            told.append(f"input {name} left out")
        else:
            told.append(f"input {name} changed")
    return told


def _text(value: Any) -> str:
    if value is _ABSENT:
        return "unset"
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _named(what: str, told: Sequence[str]) -> tuple[str, ...]:
    """The first of several, and how many more there are."""
    if len(told) <= _NAMED + 1:
        return tuple(told)
    return (*told[:_NAMED], f"{len(told) - _NAMED} more {what} changed")


def shared_reasons(parts: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The reasons of many products in few words: each once, with how many products it holds for.

    Parameters
    ----------
    parts : mapping
        Reasons by the name of the product, of those that were made now.
    """
    changed = {reason for reasons in parts.values() for reason in reasons if is_of_input(reason)}
    many = len(changed) > _NAMED
    holders: dict[str, list[str]] = {}
    for name, reasons in parts.items():
        for reason in dict.fromkeys(
            _INPUTS if many and reason in changed else reason for reason in reasons
        ):
            holders.setdefault(reason, []).append(name)
    told = []
    for reason, names in holders.items():
        if len(names) == len(parts):
            told.append(reason)
        elif len(names) == 1:
            told.append(f"{names[0]}: {reason}")
        else:
            told.append(f"{len(names)} of {len(parts)}: {reason}")
    if len(told) <= 2 * _NAMED:
        return tuple(told)
    return (*told[:_NAMED], f"{len(told) - _NAMED} more reasons")


def is_of_input(reason: str) -> bool:
    """Whether a reason is an input that changed, came or went."""
    return reason.startswith(("input ", "new input ")) or reason.endswith(" more inputs changed")


def first_of(names: Sequence[str], most: int) -> str:
    """The first `most` of many names, and how many more there are: ``a, b and 3 more``."""
    named = ", ".join(names[:most])
    return f"{named} and {len(names) - most} more" if len(names) > most else named


def shortened(reasons: Sequence[str]) -> str:
    """The reasons as one text for a log, a line on the screen or the web UI."""
    return "; ".join(reasons)

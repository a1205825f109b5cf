"""One kind of WCS for all exposures of a visit, so that they can be drizzled before any fit.

The archive aligns exposures one by one and keeps its earlier solutions as alternate ones: of a
visit, some exposures may come with a fit to Gaia and others with the guide stars' catalogue. Each
kind is consistent in itself, a mixture is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from astropy.io import fits

from hst_assets.imaging.frames import opened

__all__ = ["common_solution", "restore_solution"]

#: What differs between the solutions of one exposure that have a distortion model in common.
_KEYS = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")
#: The key of the WCS before any distortion model, which belongs to none.
_ORIGINAL = "O"


def common_solution(paths: Sequence[Path]) -> str | None:
    """The WCSNAME that exposures are to be put under, to have solutions of one kind.

    Parameters
    ----------
    paths : sequence of `~pathlib.Path`
        The exposures.

    Returns
    -------
    str or None
        A name that every exposure has, in use or as an alternate, with the distortion model that
        all have in use (the name's part before the first hyphen): of those, the one that most
        have in use, else the first by the alphabet. None if all have the same in use, or there
        is no such name.
    """
    known = [_solutions(path) for path in paths]
    in_use = [solutions.get("", "") for solutions in known]
    if len(set(in_use)) <= 1:
        return None
    shared = set.intersection(
        *(_of_model(solutions, name) for solutions, name in zip(known, in_use, strict=True))
    )
    return min(shared - {""}, key=lambda name: (-in_use.count(name), name), default=None)


def _of_model(solutions: Mapping[str, str], in_use: str) -> set[str]:
    """The solutions with the distortion model in use: others belong to other SIP terms."""
    model, _, _ = in_use.partition("-")
    return {name for name in solutions.values() if name.partition("-")[0] == model}


def restore_solution(path: Path, name: str) -> None:
    """Put an exposure's solution called `name` in use; `path` is a working copy.

    Raises
    ------
    KeyError
        If an extension has no such solution.
    """
    with fits.open(path, mode="update", memmap=False) as hdus:
        for header in [hdu.header for hdu in hdus if hdu.name == "SCI"]:
            keys = {value: key for key, value in _names(header).items()}
            key = keys[name]
            for keyword in _KEYS:
                header[keyword] = header[f"{keyword}{key}"]
            header["WCSNAME"] = name


def _solutions(path: Path) -> dict[str, str]:
    """Names of the solutions that every chip has, by key; ``""`` is the one in use."""
    with opened(path) as hdus:
        chips = [_names(hdu.header) for hdu in hdus if hdu.name == "SCI"]
    first, *others = chips
    return {key: name for key, name in first.items() if all(o.get(key) == name for o in others)}


def _names(header: fits.Header) -> dict[str, str]:
    names = {card.removeprefix("WCSNAME"): str(header[card]).strip() for card in header["WCSNAME*"]}
    complete = {
        key: name for key, name in names.items() if all(f"{kw}{key}" in header for kw in _KEYS)
    }
    complete.pop(_ORIGINAL, None)
    return complete

"""Cuts that tell stars from what is none, the same for real and for artificial stars.

The presets:

``none``
    Every object.
``stars``
    Object type 1, which is what hst123 keeps.
``st``, ``gst``
    Of the PHAT survey (Dalcanton et al. 2012, ApJS 200, 18; Williams et al. 2014, ApJS 215, 9): in
    a filter S/N of at least 4 and the square of the sharpness below a limit of the detector; `gst`
    the crowding as well. A star is kept if it is good in any filter. A published catalogue of that
    pipeline (NGC 1644, ACS/WFC, 15,292 stars) obeys these limits and has stars up to each of them;
    99.8 % of its stars are good in a filter, fewer than half in both. Its header states the
    crowding of all three detectors.

WFPC2 was not part of PHAT: without limits of the user's own, `st` and `gst` fail for it rather than
let everything pass. ACS/HRC has the limits of ACS/WFC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from hst_assets.failures import BadConfiguration
from hst_assets.photometry.catalog.bands import CatalogBand, bands_of
from hst_assets.photometry.catalog.model import Catalog
from hst_assets.photometry.catalog.quantities import NOT_RECOVERED, OFF_IMAGE
from hst_assets.settings.quality_cuts import CutPreset, QualityCutSettings

__all__ = [
    "DETECTION_SNR",
    "PRESETS",
    "CutResult",
    "QualityCuts",
    "cuts_of",
    "detected_in",
    "least_snr",
    "stars_in",
    "tally",
]

Mask = NDArray[np.bool_]

#: S/N from which a star counts as seen in a filter, unless `min_snr` says otherwise. DOLPHOT writes
#: a magnitude in every filter for a star that is seen in one: of 584 such in F606W of a simulated
#: field, 174 were noise at the places of others, down to 37 mag.
DETECTION_SNR = 3.0
_MIN_SNR = 4.0
_SHARPNESS: Mapping[str, float] = MappingProxyType(
    {"wfc3_uvis": 0.15, "wfc3_ir": 0.15, "acs_wfc": 0.2, "acs_hrc": 0.2}
)
_CROWDING: Mapping[str, float] = MappingProxyType(
    {"wfc3_uvis": 1.3, "wfc3_ir": 2.25, "acs_wfc": 2.25, "acs_hrc": 2.25}
)


@dataclass(frozen=True)
class QualityCuts:
    """Limits, all of them; None and empty mean that nothing is cut by that quantity.

    Attributes
    ----------
    object_types : tuple of int or None
        Types that are kept.
    min_snr : float or None
        Lowest signal-to-noise ratio in a filter.
    max_sharpness_squared, max_crowding_mag : mapping
        Largest values in a filter, by detector.
    allowed_flags : int or None
        Sum of the flags that a measurement may carry.
    in_all_filters : bool
        Whether a star must be good in all filters, and not only in one.
    """

    object_types: tuple[int, ...] | None = None
    min_snr: float | None = None
    max_sharpness_squared: Mapping[str, float] = field(default_factory=dict)
    max_crowding_mag: Mapping[str, float] = field(default_factory=dict)
    allowed_flags: int | None = None
    in_all_filters: bool = False

    @property
    def cuts_filters(self) -> bool:
        """Whether anything is cut by what was measured in a filter."""
        limits = (self.min_snr, self.allowed_flags)
        return bool(
            any(limit is not None for limit in limits)
            or self.max_sharpness_squared
            or self.max_crowding_mag
        )

    def as_recipe(self) -> dict[str, Any]:
        """The limits as JSON, for a recipe and for the metadata of what was cut."""
        return {
            "object_types": None if self.object_types is None else list(self.object_types),
            "min_snr": self.min_snr,
            "max_sharpness_squared": dict(sorted(self.max_sharpness_squared.items())),
            "max_crowding_mag": dict(sorted(self.max_crowding_mag.items())),
            "allowed_flags": self.allowed_flags,
            "filters": "all" if self.in_all_filters else "any",
        }


PRESETS: Mapping[CutPreset, QualityCuts] = MappingProxyType(
    {
        "none": QualityCuts(),
        "stars": QualityCuts(object_types=(1,)),
        "st": QualityCuts(min_snr=_MIN_SNR, max_sharpness_squared=_SHARPNESS),
        "gst": QualityCuts(
            min_snr=_MIN_SNR, max_sharpness_squared=_SHARPNESS, max_crowding_mag=_CROWDING
        ),
    }
)


def cuts_of(settings: QualityCutSettings) -> QualityCuts:
    """The limits of the settings: those of the preset, and the user's in their place."""
    preset = PRESETS[settings.preset]
    types, snr, flags = settings.object_types, settings.min_snr, settings.allowed_flags
    return QualityCuts(
        object_types=preset.object_types if types is None else types,
        min_snr=preset.min_snr if snr is None else snr,
        max_sharpness_squared={
            **preset.max_sharpness_squared,
            **settings.max_sharpness_squared,
        },
        max_crowding_mag={**preset.max_crowding_mag, **settings.max_crowding_mag},
        allowed_flags=preset.allowed_flags if flags is None else flags,
        in_all_filters=(
            preset.in_all_filters if settings.filters is None else settings.filters == "all"
        ),
    )


@dataclass(frozen=True, eq=False)
class CutResult:
    """What the cuts make of a catalogue.

    Attributes
    ----------
    kept : ndarray of bool, shape (n,)
        Which objects are stars.
    good_in : mapping
        Which of them are good in a band, by its name
        (`hst_assets.photometry.catalog.bands.bands_of`): an object that is kept may be bad in some.
    removed : Table
        A row for each cut in the order in which they are made: ``cut``, its ``limit``,
        ``removed_first`` (objects that it removes of those that the cuts before it left) and
        ``removed_alone`` (objects that no other cut would remove).
    """

    kept: Mask
    good_in: Mapping[str, Mask]
    removed: Table


def tally(
    catalog: Catalog, cuts: QualityCuts, detectors: Mapping[str, str] | None = None
) -> CutResult:
    """Apply cuts to a catalogue, of real stars or of what was measured of artificial ones.

    Parameters
    ----------
    catalog : Catalog
        What was measured; its bands decide: filters, and images whose filter has no columns.
    cuts : QualityCuts
        The limits.
    detectors : mapping, optional
        Detector of each band by its name
        (`hst_assets.photometry.catalog.magnitudes.detectors_of_bands`).

    Returns
    -------
    CutResult
        An object without a measurement in a filter is not good in it. A NaN passes no limit. An
        artificial star that was not recovered is never kept, whatever the limits.

    Raises
    ------
    BadConfiguration
        If a limit is by detector and the detector of a filter has none, or is not known.
    """
    named = _masks(catalog, cuts, detectors or {})
    n = len(catalog)
    of_objects = [
        (name, limit, mask) for name, limit, mask in named if isinstance(mask, np.ndarray)
    ]
    of_filters = [(name, limit, mask) for name, limit, mask in named if isinstance(mask, dict)]
    combine = np.all if cuts.in_all_filters else np.any

    def kept(objects: list[Mask], filters: list[dict[str, Mask]]) -> Mask:
        result = np.ones(n, dtype=bool)
        for mask in objects:
            result &= mask
        if filters:
            result &= combine(list(_good(filters).values()), axis=0)
        return result

    all_objects = [mask for *_, mask in of_objects]
    all_filters = [mask for *_, mask in of_filters]
    final = kept(all_objects, all_filters)
    rows = []
    left = np.ones(n, dtype=bool)
    for at, (name, limit, _) in enumerate([*of_objects, *of_filters]):
        in_objects = min(at + 1, len(of_objects))
        after = kept(all_objects[:in_objects], all_filters[: at + 1 - in_objects])
        others = kept(
            [mask for index, mask in enumerate(all_objects) if index != at],
            [mask for index, mask in enumerate(all_filters, len(of_objects)) if index != at],
        )
        rows.append((name, limit, int((left & ~after).sum()), int((others & ~final).sum())))
        left = after
    good = _good(all_filters) if all_filters else {}
    return CutResult(final, {label: mask & final for label, mask in good.items()}, _table(rows))


def detected_in(catalog: Catalog, cuts: QualityCuts, band: CatalogBand) -> Mask:
    """Objects that are seen in a band, whatever else the cuts make of them.

    Parameters
    ----------
    catalog : Catalog
        Of real or of artificial stars.
    cuts : QualityCuts
        Of them `min_snr`; where there is none, `DETECTION_SNR`.
    band : CatalogBand
        One of `hst_assets.photometry.catalog.bands.bands_of`.
    """
    measured: Mask = catalog.measured(**band.address)
    return measured & (catalog.values("snr", **band.address) >= least_snr(cuts))


def least_snr(cuts: QualityCuts) -> float:
    """Signal-to-noise ratio from which a star is seen: `min_snr`, or `DETECTION_SNR`."""
    return DETECTION_SNR if cuts.min_snr is None else cuts.min_snr


def stars_in(catalog: Catalog, cuts: QualityCuts, result: CutResult, band: CatalogBand) -> Mask:
    """Stars of a band: kept, good in it by the cuts that are made there, and seen in it.

    Parameters
    ----------
    catalog : Catalog
        Of real or of artificial stars.
    cuts : QualityCuts
        The limits.
    result : CutResult
        What they make of the catalogue.
    band : CatalogBand
        One of `hst_assets.photometry.catalog.bands.bands_of`.
    """
    return result.good_in.get(band.name, result.kept) & detected_in(catalog, cuts, band)


def _good(filters: list[dict[str, Mask]]) -> dict[str, Mask]:
    """By filter, where all cuts are passed."""
    return {label: np.all([masks[label] for masks in filters], axis=0) for label in filters[0]}


def _masks(
    catalog: Catalog, cuts: QualityCuts, detectors: Mapping[str, str]
) -> list[tuple[str, str, Mask | dict[str, Mask]]]:
    """Each cut with its limit and where it is passed: of objects, or by filter."""
    found: list[tuple[str, str, Mask | dict[str, Mask]]] = []
    if (lost := _not_recovered(catalog)).any():
        found.append(("recovered", "of the artificial stars", ~lost))
    if cuts.object_types is not None:
        text = " or ".join(map(str, cuts.object_types))
        found.append(("object type", text, np.isin(catalog["object_type"], cuts.object_types)))
    if not cuts.cuts_filters:
        return found
    bands = {band.name: band.address for band in bands_of(catalog.columns)}
    if not bands:
        raise BadConfiguration(
            "the catalogue has no filters or images that could be cut",
            next_step="Use the preset none or stars",
        )
    measured = {label: catalog.measured(**address) for label, address in bands.items()}
    found.append(("measured", "in a filter", measured))

    def values(key: str) -> dict[str, NDArray[Any]]:
        return {label: catalog.values(key, **address) for label, address in bands.items()}

    if cuts.allowed_flags is not None:
        allowed = cuts.allowed_flags
        masks = {
            label: (flags < OFF_IMAGE - 1) & (flags & ~allowed == 0)
            for label, flags in values("flag").items()
        }
        found.append(("flag", f"in {allowed}", masks))
    if cuts.min_snr is not None:
        at_least = cuts.min_snr
        masks = {label: snr >= at_least for label, snr in values("snr").items()}
        found.append(("S/N", f">= {at_least:g}", masks))
    for name, key, power, limits in (
        ("sharpness squared", "sharpness", 2, cuts.max_sharpness_squared),
        ("crowding", "crowding", 1, cuts.max_crowding_mag),
    ):
        if limits:
            of = {label: _limit(label, detectors, limits, name) for label in bands}
            masks = {label: each**power <= of[label] for label, each in values(key).items()}
            found.append((name, f"<= {_shown(of)}", masks))
    return found


def _not_recovered(catalog: Catalog) -> Mask:
    """Rows of artificial stars that were not found, which DOLPHOT writes as if of type 1."""
    images = catalog.columns.images
    flags = [catalog.values("flag", image=image.number) == NOT_RECOVERED for image in images]
    lost: Mask = np.all(flags, axis=0) if flags else np.zeros(len(catalog), dtype=bool)
    return lost


def _limit(
    label: str, detectors: Mapping[str, str], limits: Mapping[str, float], name: str
) -> float:
    detector = detectors.get(label, "")
    if detector not in limits:
        of = detector or "a detector that is not known"
        setting = "max_sharpness_squared" if name.startswith("sharp") else "max_crowding_mag"
        raise BadConfiguration(
            f"there is no limit of {name} for {label}, which is of {of}",
            next_step=f"Set quality_cuts.{setting} for it, or another quality_cuts.preset",
        )
    return limits[detector]


def _shown(limits: Mapping[str, float]) -> str:
    values = sorted(set(limits.values()))
    if len(values) == 1:
        return f"{values[0]:g}"
    return ", ".join(f"{limit:g} ({label})" for label, limit in limits.items())


def _table(rows: list[tuple[str, str, int, int]]) -> Table:
    return Table(
        rows=rows or None,
        names=("cut", "limit", "removed_first", "removed_alone"),
        dtype=("str", "str", "int64", "int64"),
    )

"""The layers of multi-visit mosaics: which exposures lie in which sky cell, filter and scale.

The sky is divided into projection cells, and these into sky cells of 14.6 arcmin; every exposure
that was made by HAP's single-visit code names its own in SKYCELL. A *layer* is the image of one
sky cell in one filter of one detector, of all visits. Layers of WFC3/IR and WFPC2 come twice: with
0.12 arcsec a pixel (coarse) and with 0.04 (fine); others with 0.04 only. Names and grouping are
those of drizzlepac 3.11 (``poller_utils.interpret_mvm_input``, ``parse_mvm_tree``), computed
without it; a test compares them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from astropy.io import fits

from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.hap.listed import elements_of
from hst_assets.hap.poller import PollerRow
from hst_assets.hap.product_tree import filter_name, is_dispersed

__all__ = [
    "PIXEL_SCALES_ARCSEC",
    "MosaicInput",
    "MosaicLayer",
    "Scale",
    "mosaic_input",
    "mosaic_layers",
    "poller_of_sky_cell",
]

Scale = Literal["fine", "coarse"]
#: ``cell_utils.SUPPORTED_SCALES``.
PIXEL_SCALES_ARCSEC: dict[Scale, float] = {"fine": 0.04, "coarse": 0.12}
#: Detectors whose pixels are so large that they have a coarse layer, too (``parse_mvm_tree``).
_COARSE_DETECTORS = ("IR", "PC")
_SMALL_DETECTORS = ("HRC", "SBC")
_NAME = re.compile(r"hst_[\w-]+_([iju][a-z0-9]{7})_(fl[tc])\.fits")
_CELL = re.compile(r"p\d{4}x\d{2}y\d{2}")
_STEP = "Make the products of its visit first: hst-assets hap POLLER"


@dataclass(frozen=True)
class MosaicInput:
    """An exposure as HAP's single-visit code has left it, aligned and with cosmic rays flagged.

    Attributes
    ----------
    path : Path
        The file, ``hst_..._flt.fits`` or ``_flc``.
    rootname : str
        IPPPSSOO, lower case.
    instrument, detector : str
        INSTRUME and DETECTOR, upper case.
    filters : str
        Elements of the filter wheels, joined by ``;``.
    proposal_id : int
        PROPOSID.
    exptime_s : float
        Exposure time, seconds.
    skycells : tuple of str
        The sky cells that it reaches into, such as ``skycell-p1234x05y06``.
    wcs_name : str
        WCSNAME: of which fit its WCS is.
    outlines : tuple
        Of each chip the corners on the sky, ((ra, dec), ...), degrees; from S_REGION.
    """

    path: Path
    rootname: str
    instrument: str
    detector: str
    filters: str
    proposal_id: int
    exptime_s: float
    skycells: tuple[str, ...]
    wcs_name: str
    outlines: tuple[tuple[tuple[float, float], ...], ...] = ()

    @property
    def visit(self) -> str:
        """IPPPSS."""
        return self.rootname[:6]

    @property
    def filter(self) -> str:
        """HAP's name of the filter."""
        return filter_name(self.filters)

    @property
    def is_aligned(self) -> bool:
        """Whether it was fitted to a catalogue of stars."""
        return "-FIT_" in self.wcs_name

    def poller_row(self, skycell: str, *, line: int, is_new: bool = True) -> PollerRow:
        """Its line in the poller of a sky cell.

        Parameters
        ----------
        skycell : str
            The sky cell.
        line : int
            Number of the line.
        is_new : bool, optional
            Whether the sky cell has not had it before; drizzlepac leaves out what is not new.
        """
        return PollerRow(
            self.path.name,
            line,
            proposal_id=self.proposal_id,
            program_id=self.rootname[1:4].upper(),
            obset_id=self.rootname[4:6].upper(),
            exptime_s=self.exptime_s,
            filters=self.filters,
            detector=self.detector,
            skycell_id=skycell,
            is_new=is_new,
            path=self.path,
        )


@dataclass(frozen=True)
class MosaicLayer:
    """One image of a multi-visit mosaic, and the exposures that it is made of.

    Attributes
    ----------
    skycell : str
        Such as ``skycell-p1234x05y06``.
    instrument, detector, filter : str
        Lower case.
    scale : str
        ``fine`` or ``coarse``.
    kind : str
        ``drc`` if it is made of flc files, else ``drz``.
    members : tuple of MosaicInput
        The exposures.
    """

    skycell: str
    instrument: str
    detector: str
    filter: str
    scale: Scale
    kind: str
    members: tuple[MosaicInput, ...]

    #: As drizzlepac 3.11 writes it; the seed of HAP and its asset call this level 3.
    haplevel = 4

    @property
    def basename(self) -> str:
        """What the names of its files begin with."""
        layer = "coarse-all" if self.scale == "coarse" else "all"
        return f"hst_{self.skycell}_{self.instrument}_{self.detector}_{self.filter}_{layer}"

    @property
    def drizzled_file(self) -> str:
        """The image."""
        return f"{self.basename}_{self.kind}.fits"

    @property
    def trailer_file(self) -> str:
        """Its log."""
        return f"{self.basename}_trl.txt"

    @property
    def visits(self) -> tuple[str, ...]:
        """The visits of its exposures."""
        return tuple(sorted({one.visit for one in self.members}))


def mosaic_input(path: Path) -> MosaicInput:
    """An exposure of a mosaic, from its headers.

    Parameters
    ----------
    path : Path
        What the single-visit code has left: ``hst_..._flt.fits`` or ``_flc``.

    Raises
    ------
    MissingProduct
        If it is not there.
    UnusableInput
        If it is no such file, or its headers lack what the single-visit code writes.
    """
    name = _NAME.fullmatch(path.name)
    if not path.is_file():
        raise MissingProduct("the exposure of a mosaic is missing", where=path, next_step=_STEP)
    if name is None:
        raise UnusableInput(
            "mosaics are made of hst_..._flt.fits and _flc.fits, as a single visit leaves them",
            where=path,
            next_step=_STEP,
        )
    try:
        with fits.open(path) as hdus:
            primary, science = hdus[0].header, hdus["SCI", 1].header
            if primary["HAPLEVEL"] != 1:
                raise UnusableInput(f"HAPLEVEL is {primary['HAPLEVEL']}, not 1", where=path)
            return MosaicInput(
                path,
                name[1],
                str(primary["INSTRUME"]).upper(),
                str(primary["DETECTOR"]).upper(),
                elements_of(primary),
                int(primary["PROPOSID"]),
                float(primary["EXPTIME"]),
                _skycells(str(science["SKYCELL"])),
                str(science["WCSNAME"]),
                tuple(_outlines(hdus)),
            )
    except (KeyError, OSError, ValueError) as error:
        raise UnusableInput(
            f"the exposure has not what HAP's single-visit code writes: {error}",
            where=path,
            next_step=_STEP,
        ) from error


def _skycells(text: str) -> tuple[str, ...]:
    """``p1234x05y06; p1234x05y07`` as names of sky cells."""
    names = [name.strip() for name in text.split(";")]
    for name in names:
        if not _CELL.fullmatch(name):
            raise ValueError(f"SKYCELL is {text!r}")
    return tuple(f"skycell-{name}" for name in names)


def _outlines(hdus: fits.HDUList) -> Iterable[tuple[tuple[float, float], ...]]:
    """The polygon of each chip, as far as S_REGION tells it."""
    for hdu in hdus:
        words = str(hdu.header.get("S_REGION", "")).split()
        if hdu.name == "SCI" and words[:2] == ["POLYGON", "ICRS"]:
            values = [float(word) for word in words[2:]]
            yield tuple(zip(values[::2], values[1::2], strict=True))


def mosaic_layers(
    inputs: Iterable[Path | MosaicInput], *, small_detectors: bool = True, cte_only: bool = False
) -> tuple[MosaicLayer, ...]:
    """The layers that exposures reach into; nothing is made.

    Parameters
    ----------
    inputs : iterable of Path or MosaicInput
        Exposures that HAP's single-visit code has left, of any visits.
    small_detectors : bool, optional
        Whether exposures of ACS/HRC and SBC count (``MVM_INCLUDE_SMALL``).
    cte_only : bool, optional
        Whether those of WFC3/UVIS and ACS/WFC count only if they are corrected for charge transfer
        (``MVM_ONLY_CTE``).

    Returns
    -------
    tuple of MosaicLayer
        By sky cell, detector and filter; the coarse layer before the fine one; exposures in their
        order. Images of grisms, prisms and ramps are in none. Where some exposures of a layer are
        ``flc``, others do not count.

    Raises
    ------
    MissingProduct, UnusableInput
        See `mosaic_input`.
    """
    groups: dict[tuple[str, str, str, str], list[MosaicInput]] = {}
    for one in inputs:
        each = one if isinstance(one, MosaicInput) else mosaic_input(one)
        if _counts(each, small_detectors=small_detectors, cte_only=cte_only):
            for skycell in each.skycells:
                key = (skycell, each.instrument.lower(), each.detector.lower(), each.filter)
                groups.setdefault(key, []).append(each)
    return tuple(layer for key in sorted(groups) for layer in _of_group(key, groups[key]))


def _counts(one: MosaicInput, *, small_detectors: bool, cte_only: bool) -> bool:
    is_ramp = any(element.startswith("fr") for element in one.filter.split("-"))
    is_small = one.detector in _SMALL_DETECTORS
    if is_dispersed(one.filter) or is_ramp or (is_small and not small_detectors):
        return False
    is_corrected = one.path.name.endswith("_flc.fits")
    return is_corrected or not cte_only or one.detector not in ("UVIS", "WFC")


def _of_group(
    key: tuple[str, str, str, str], exposures: list[MosaicInput]
) -> Iterable[MosaicLayer]:
    skycell, instrument, detector, name = key
    corrected = [one for one in exposures if one.path.name.endswith("_flc.fits")]
    kind = "drc" if corrected else "drz"
    scales: tuple[Scale, ...] = ("fine",)
    if detector.upper() in _COARSE_DETECTORS:
        scales = ("coarse", "fine")
    named = "pc" if instrument == "wfpc2" else detector
    members = tuple(corrected or exposures)
    for scale in scales:
        yield MosaicLayer(skycell, instrument, named, name, scale, kind, members)


def poller_of_sky_cell(inputs: Iterable[MosaicInput], skycell: str) -> tuple[PollerRow, ...]:
    """The poller of a sky cell, in ten columns, as ``runmultihap`` and ``--multi`` take it.

    Parameters
    ----------
    inputs : iterable of MosaicInput
        Exposures; those that do not reach into the sky cell are left out.
    skycell : str
        Such as ``skycell-p1234x05y06``.

    Raises
    ------
    UnusableInput
        If none reaches into it.
    """
    inside = [one for one in inputs if skycell in one.skycells]
    if not inside:
        raise UnusableInput("no exposure reaches into the sky cell", where=skycell)
    inside.sort(key=lambda one: one.path.name)
    return tuple(one.poller_row(skycell, line=line) for line, one in enumerate(inside, start=1))

"""Which drizzled images a visit and a target are to have, from which exposures.

Nothing is made here: exposures are grouped, and each group gets the recipe of its product.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.time import Time

from hst_assets.detectors import DETECTORS, Detector
from hst_assets.exposures.footprint import parse_footprint
from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.identifiers import visit_of_rootname
from hst_assets.imaging.astrodrizzle.parameters import engine_of, parameters
from hst_assets.imaging.astrodrizzle.run import TOOLS
from hst_assets.imaging.astrodrizzle.sky_levels import given_levels
from hst_assets.imaging.cosmic_rays import MOST_HELPED, MOST_OTHERS
from hst_assets.imaging.frames import Outline, covering_frame
from hst_assets.products.columns import read_table
from hst_assets.provenance import Recipe, read_record
from hst_assets.settings import DrizzleSettings, Settings
from hst_assets.workdir import WorkDir

__all__ = [
    "STAGE",
    "AlignedExposure",
    "Product",
    "aligned_exposures",
    "decisive_settings",
    "orientation_of_target",
    "others_of",
    "products_of_visit",
    "scale_of",
    "stacks_of_target",
]

logger = logging.getLogger(__name__)

#: Stage name in the record beside each drizzled image.
STAGE = "drizzled_image"
_DAY_FORMAT = "%y%m%d"
_Key = TypeVar("_Key", str, int)


@dataclass(frozen=True)
class AlignedExposure:
    """One aligned exposure that goes into products."""

    rootname: str
    file: str
    detector_key: str
    filter: str
    exptime_s: float
    mjd_start: float
    epoch: int
    digest: str
    footprint: str = ""

    @property
    def outlines(self) -> list[Outline]:
        """Outline of each chip before the alignment."""
        return parse_footprint(self.footprint) if self.footprint else []

    @property
    def band(self) -> str:
        """Detector and filter."""
        return DETECTORS[self.detector_key].band(self.filter)


@dataclass(frozen=True)
class Product:
    """One planned drizzled image.

    `epoch` is 0 for a visit's product and for the stack of all epochs; `orientation_deg` is the
    position angle of its y axis; `others` are the exposures that tell its cosmic rays from stars.
    """

    path: Path
    band: str
    epoch: int
    exposures: tuple[AlignedExposure, ...]
    recipe: Recipe
    label: str
    orientation_deg: float = 0.0
    others: tuple[AlignedExposure, ...] = ()

    @property
    def detector(self) -> Detector:
        """Registry row of the exposures' detector."""
        return DETECTORS[self.exposures[0].detector_key]


def aligned_exposures(
    workdir: WorkDir, table: QTable, visits: Sequence[str]
) -> list[AlignedExposure]:
    """The exposures that are in use and whose alignment lets them into products.

    Parameters
    ----------
    workdir : WorkDir
        Of the target.
    table : QTable
        Exposure table of a visit or of the target.
    visits : sequence of str
        The visits in it. One of several that is not aligned is left out.

    Raises
    ------
    MissingProduct
        If the only visit is not aligned.
    """
    digests: dict[str, str] = {}
    for visit in visits:
        path = workdir.visit_alignment(visit)
        if read_record(path) is None or not path.is_file():
            if len(visits) == 1:
                raise MissingProduct(
                    f"visit {visit} is not aligned", where=path, next_step="Align it first"
                )
            logger.warning("visit %s is not aligned: left out of the stacks", visit)
            continue
        alignment = read_table(path)
        for row in alignment[np.asarray(alignment["used"], dtype=bool)]:
            digests[str(row["rootname"])] = str(row["digest"])
    return [
        AlignedExposure(
            rootname=str(row["rootname"]),
            file=str(row["file"]),
            detector_key=str(row["detector_key"]),
            filter=str(row["filter"]),
            exptime_s=float(row["exptime"].to_value(u.s)),
            mjd_start=float(row["mjd_start"].to_value(u.day)),
            epoch=int(row["epoch"]),
            digest=digests[str(row["rootname"])],
            footprint=str(row["footprint"]),
        )
        for row in table[np.asarray(table["used"], dtype=bool)]
        if str(row["rootname"]) in digests
    ]


def _grouped(
    exposures: Iterable[AlignedExposure], key: Callable[[AlignedExposure], _Key]
) -> dict[_Key, list[AlignedExposure]]:
    """Exposures by key, keys sorted, exposures in time order."""
    groups: dict[_Key, list[AlignedExposure]] = {}
    for exposure in sorted(exposures, key=lambda item: (item.mjd_start, item.rootname)):
        groups.setdefault(key(exposure), []).append(exposure)
    return {name: groups[name] for name in sorted(groups)}


def _product(
    workdir: WorkDir,
    path: Path,
    label: str,
    exposures: Sequence[AlignedExposure],
    settings: Settings,
    *,
    pool: Sequence[AlignedExposure],
    orientation_deg: float,
    epoch: int = 0,
) -> Product:
    detector = DETECTORS[exposures[0].detector_key]
    band = exposures[0].band
    rootnames = [exposure.rootname for exposure in exposures]
    decisive = decisive_settings(detector, rootnames, settings, band=band)
    if settings.drizzle.no_rotation:
        decisive["drizzle"]["orientation_deg"] = orientation_deg
    others = () if settings.drizzle.no_mask else others_of(exposures, pool)
    recipe = Recipe(
        stage=STAGE,
        inputs={
            **{exposure.rootname: exposure.digest for exposure in exposures},
            **{f"other:{other.rootname}": other.digest for other in others},
        },
        settings=decisive,
        defaults=decisive_settings(detector, rootnames, Settings(), band=band),
        detectors=(detector,),
        tools=TOOLS,
    ).known_in(workdir)
    return Product(path, band, epoch, tuple(exposures), recipe, label, orientation_deg, others)


def others_of(
    exposures: Sequence[AlignedExposure], pool: Sequence[AlignedExposure]
) -> tuple[AlignedExposure, ...]:
    """The exposures that tell cosmic rays from stars on a product of one or two.

    Parameters
    ----------
    exposures : sequence of AlignedExposure
        What is combined.
    pool : sequence of AlignedExposure
        All aligned exposures that may serve.

    Returns
    -------
    tuple of AlignedExposure
        At most six (`MOST_OTHERS`) of the same visit and detector, in any filter, that see the
        same piece of sky, the nearest in time. Only they: what is new in the sky since another
        visit would not be on its exposures, and be taken for cosmic rays.
        Empty where there are more than two exposures, or of more than one visit, or none hold
        cosmic rays (WFC3/IR).
    """
    detector = DETECTORS[exposures[0].detector_key]
    visits = {visit_of_rootname(exposure.rootname) for exposure in exposures}
    if len(exposures) > MOST_HELPED or len(visits) > 1 or not detector.clean_cosmic_rays:
        return ()
    own = {exposure.rootname for exposure in exposures}
    outlines = [outline for exposure in exposures for outline in exposure.outlines]
    near = [
        other
        for other in pool
        if other.detector_key == detector.key
        and other.rootname not in own
        and visit_of_rootname(other.rootname) in visits
        and _overlap(outlines, other.outlines)
    ]
    middle = sum(exposure.mjd_start for exposure in exposures) / len(exposures)
    near.sort(key=lambda other: (abs(other.mjd_start - middle), other.rootname))
    return tuple(near[:MOST_OTHERS])


def _overlap(outlines: Sequence[Outline], others: Sequence[Outline]) -> bool:
    """Whether the boxes about two exposures overlap."""
    if not outlines or not others:
        return False
    ra_deg, dec_deg = outlines[0][0]
    try:
        frame = covering_frame(
            [outlines], ra_deg=ra_deg, dec_deg=dec_deg, scale_arcsec=1.0, about="minimal"
        )
    except UnusableInput:  # the exposures themselves lie far from each other
        return False
    return frame.touches(others)


def decisive_settings(
    detector: Detector, rootnames: Collection[str], settings: Settings, *, band: str
) -> dict[str, Any]:
    """What of the settings decides a drizzled image, by section, for its recipe.

    The parameters in force, not the settings behind them: spelling out a default, or what only
    judges or keeps files, changes nothing.
    """
    choices = settings.drizzle
    asked = parameters(detector, len(rootnames), choices)
    about = choices.frame if settings.target.ra_deg is not None else "minimal"
    drizzle = {
        "parameters": asked,
        # That files are kept decides no pixel, though another engine keeps them.
        "engine": engine_of(choices.model_copy(update={"keep_artifacts": False}), asked),
        "scale_arcsec": scale_of(detector, choices),
        "model_scale_arcsec": _finer_scale(detector, choices) if asked["driz_cr"] else None,
        "frame": about if choices.size_pix is None else choices.size_pix,
        "no_rotation": choices.no_rotation,
        "object_name": choices.object_name,
        "fix_zero_point": choices.fix_zero_point,
        "photometry": choices.photometry.get(band),
        "sky_level": given_levels(choices, asked, band=band, rootnames=rootnames),
    }
    return {"drizzle": drizzle, "target": settings.target.as_recipe()}


def orientation_of_target(workdir: WorkDir, settings: Settings) -> float:
    """Position angle of the y axis of a target's products, degrees.

    North is up, or with ``drizzle.no_rotation`` it is that of the reference's first exposure as
    the note on the reference has it (of a user's image, its own).

    Raises
    ------
    MissingProduct
        If the reference is to tell, and there is none.
    """
    if not settings.drizzle.no_rotation:
        return 0.0
    try:
        note = json.loads(workdir.reference_choice.read_bytes())
        return float(note["orientation_deg"])
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise MissingProduct(
            "drizzle.no_rotation takes the orientation of the reference, and there is none yet",
            where=workdir.reference_choice,
            next_step="Materialize reference_image first",
        ) from error


def scale_of(detector: Detector, choices: DrizzleSettings) -> float:
    """Pixel scale of a detector's products (arcsec): the user's, or else the detector's own."""
    return choices.scale_arcsec or detector.drizzle_scale_arcsec


def _finer_scale(detector: Detector, choices: DrizzleSettings) -> float | None:
    """Pixel scale (arcsec) of what tells cosmic rays from stars; None if it is the product's."""
    finest = detector.drizzle_scale_arcsec
    return finest if scale_of(detector, choices) > finest else None


def products_of_visit(
    workdir: WorkDir, visit: str, exposures: Sequence[AlignedExposure], settings: Settings
) -> list[Product]:
    """One product for each detector and filter of a visit's exposures."""
    turned = orientation_of_target(workdir, settings)
    return [
        _product(
            workdir,
            workdir.visit_drizzle(visit, band),
            f"{visit}.{band}",
            members,
            settings,
            pool=exposures,
            orientation_deg=turned,
        )
        for band, members in _grouped(exposures, lambda exposure: exposure.band).items()
    ]


def stacks_of_target(
    workdir: WorkDir, exposures: Sequence[AlignedExposure], settings: Settings
) -> list[Product]:
    """For each detector and filter, one product for each epoch and one for all of them."""
    name = settings.drizzle.object_name
    turned = orientation_of_target(workdir, settings)
    bands, rootnames = [each.band for each in exposures], [each.rootname for each in exposures]
    for told in settings.drizzle.without_effect(bands, rootnames):
        logger.warning("%s", told)
    stacks = []
    for band, members in _grouped(exposures, lambda exposure: exposure.band).items():
        for epoch, sharing in _grouped(members, lambda exposure: exposure.epoch).items():
            start = min(exposure.mjd_start for exposure in sharing)
            day = Time(start, format="mjd", scale="utc").strftime(_DAY_FORMAT)
            path = workdir.epoch_stack(band, day, epoch, name)
            label = f"{band}.{epoch:04d}"
            stacks.append(
                _product(
                    workdir,
                    path,
                    label,
                    sharing,
                    settings,
                    pool=exposures,
                    orientation_deg=turned,
                    epoch=epoch,
                )
            )
        path = workdir.filter_stack(band, name)
        stacks.append(
            _product(
                workdir,
                path,
                f"{band}.all",
                members,
                settings,
                pool=exposures,
                orientation_deg=turned,
            )
        )
    return stacks

"""Light curves on the differences between epochs: fluxes relative to the template epoch.

What does not change is gone before anything is measured: a host galaxy, however bright, costs
photons only. Fluxes are weighted sums (`hst_assets.photometry.light_curve.stack_aperture`) with the
errors of the differences' noise model, correlated as the drizzling left them
(`hst_assets.imaging.noise`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.detection.image_planes import read_wcs
from hst_assets.detectors import DETECTORS
from hst_assets.failures import MissingProduct
from hst_assets.imaging.correlated_noise import drop_ratio, weighted_sum_factor
from hst_assets.imaging.differences.subtraction import Flag
from hst_assets.imaging.frames import opened
from hst_assets.imaging.noise import noise_model
from hst_assets.imaging.product_flags import ProductFlag
from hst_assets.photometry.encircled_energy import WFPC2_RADIUS_ARCSEC
from hst_assets.photometry.light_curve.flux_scale import FluxScale, flux_scale
from hst_assets.photometry.light_curve.points import Place, Point
from hst_assets.photometry.light_curve.stack_aperture import (
    StackAperture,
    Window,
    background,
    stack_aperture,
)
from hst_assets.photometry.light_curve.vanished_stars import left_of_stars
from hst_assets.products.columns import read_table
from hst_assets.provenance import read_record
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["difference_points"]

Image = NDArray[np.floating]
Mask = NDArray[np.bool_]

_SATURATED = 4
#: Pixels of a stack so many errors above the background hold light.
_SEEN_SIGMA = 3.0
#: Rejected pixels are told of from so large an error on, relative to the flux.
_TOLD_SHARE = 0.02


@dataclass(frozen=True, eq=False)
class _Stack:
    """A stack in counts per second; or as much of it as is on a difference's pixels.

    Planes are 32-bit as in the file: of large stacks memory is short. Sums are over few pixels.
    """

    rate: Image
    error: Image
    weight: Image
    saturated: Mask
    header: fits.Header
    place: tuple[float, float]

    def cut(self, wcs: WCS, shape: tuple[int, int]) -> _Stack:
        """What is on the pixels of a difference, which are of the same grid; NaN beyond it."""
        dx, dy = (round(own - other) for own, other in zip(self.place, wcs.wcs.crpix, strict=True))
        ny, nx = shape
        rows = slice(max(-dy, 0), min(self.rate.shape[0] - dy, ny))
        columns = slice(max(-dx, 0), min(self.rate.shape[1] - dx, nx))
        there = (
            slice(rows.start + dy, rows.stop + dy),
            slice(columns.start + dx, columns.stop + dx),
        )
        planes = {}
        for name, filling in (("rate", np.nan), ("error", np.nan), ("weight", 0.0)):
            planes[name] = np.full(shape, filling, dtype=np.float32)
            planes[name][rows, columns] = getattr(self, name)[there]
        full = np.zeros(shape, dtype=bool)
        full[rows, columns] = self.saturated[there]
        return _Stack(**planes, saturated=full, header=self.header, place=self.place)


@dataclass(frozen=True, eq=False)
class _Difference:
    """One difference with what is needed to measure on it.

    `star_floor` is the relative error of a constant star on it beyond its photons.
    """

    row: dict[str, Any]
    data: Image
    error: Image
    flags: NDArray[np.int16]
    epoch: _Stack
    template: _Stack
    wcs: WCS
    primary: fits.Header
    kernel: str
    drop_ratio: float
    aperture: StackAperture
    scale: FluxScale
    star_floor: float

    @property
    def covered(self) -> Mask:
        covered: Mask = np.isfinite(self.data) & np.isfinite(self.error)
        return covered


def difference_points(workdir: WorkDir, settings: Settings, places: Sequence[Place]) -> list[Point]:
    """Measure places on every difference between epochs.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its differences and the stacks that they are of must exist.
    settings : Settings
        Section embedded (radius of the aperture that tables lead to all light from, and flags that
        do not count).
    places : sequence of Place
        Where; in the frame of the target.

    Returns
    -------
    list of Point
        A point for each place and epoch, in the order of places; each is relative to the template
        epoch, which its note names. The template epoch has a point without a flux: it is not
        measured, and not zero. A place off a difference has none there.

    Raises
    ------
    MissingProduct
        If there is no index of differences, or a file that it lists is not there.
    UnusableInput
        If a file is damaged.
    """
    if not workdir.difference_products.is_file():
        raise MissingProduct(
            "the target has no differences",
            where=workdir.difference_products,
            next_step="Materialize epoch_differences",
        )
    by_place: dict[int, list[Point]] = {at: [] for at in range(len(places))}
    templates: set[tuple[int, str, int]] = set()
    for row in read_table(workdir.difference_products):
        if not str(row["file"]):
            continue
        told = {name: row[name] for name in row.colnames}
        difference = _read(workdir, settings, told)
        for at, place in enumerate(places):
            point = _measured(difference, place, settings.embedded.flag_mask)
            if point is None:
                continue
            by_place[at].append(point)
            key = at, str(told["band"]), int(told["template"])
            if key not in templates:
                by_place[at].append(_of_template(difference, place))
                templates.add(key)
    return [point for points in by_place.values() for point in _in_time(points)]


def _in_time(points: Sequence[Point]) -> list[Point]:
    return sorted(points, key=lambda point: (point.detector, point.filter_name, point.mjd))


def _read(workdir: WorkDir, settings: Settings, row: dict[str, Any]) -> _Difference:
    path = workdir.absolute(str(row["file"]))
    detector = DETECTORS[str(row["band"]).partition(".")[0]]
    with opened(path) as hdus:
        primary = hdus[0].header.copy()
        data, error = (np.array(hdus[name].data, dtype=np.float32) for name in ("SCI", "ERR"))
        flags = np.array(hdus["DQ"].data)
        wcs = read_wcs(hdus["SCI"].header, hdus)
    filter_name = str(primary.get("FILTER", "")).upper()
    epoch, template = (_stack(workdir, primary, letter) for letter in "ET")
    aperture = stack_aperture(
        epoch.rate,
        epoch.error,
        np.isfinite(epoch.rate) & np.isfinite(epoch.error) & ~epoch.saturated,
        detector=detector,
        filter_name=filter_name,
        scale_arcsec=float(epoch.header["D_SCALE"]),
        # Of WFPC2, the share of the light is known within this radius alone.
        radius_arcsec=WFPC2_RADIUS_ARCSEC
        if detector.key == "wfpc2"
        else settings.embedded.aperture_radius_arcsec,
    )
    model = noise_model(epoch.header, where=path)
    drop = drop_ratio(model.pixfrac, model.scale_arcsec, model.native_scale_arcsec)
    template = template.cut(wcs, data.shape)
    left = left_of_stars(
        data,
        error,
        template.rate,
        np.isfinite(data) & np.isfinite(error) & np.isfinite(template.rate) & ~template.saturated,
        aperture=aperture,
        detector=detector,
        noise_factor=lambda weights: weighted_sum_factor(drop, weights, model.kernel) or 1.0,
    )
    return _Difference(
        row=row,
        data=data,
        error=error,
        flags=flags,
        epoch=epoch.cut(wcs, data.shape),
        template=template,
        wcs=wcs,
        primary=primary,
        kernel=model.kernel,
        drop_ratio=drop,
        aperture=aperture,
        star_floor=left if math.isfinite(left) else _floor_by_index(row, aperture),
        scale=flux_scale(
            float(primary.get("ZPAB", math.nan)),
            detector=detector.key,
            filter_name=filter_name,
            pivot_angstrom=float(primary.get("PHOTPLAM", math.nan)),
        ),
    )


def _stack(workdir: WorkDir, primary: fits.Header, letter: str) -> _Stack:
    """The epoch (E) or the template (T) of a difference: that which it was made of."""
    path = workdir.drizzle / str(primary[f"{letter}_FILE"])
    record = read_record(path)
    if record is None or record.digest != str(primary[f"{letter}_RECIPE"]):
        raise MissingProduct(
            "the stack is not that of which the difference was made",
            where=path,
            next_step="Materialize epoch_differences again",
        )
    place = float(record.facts["crpix1"]), float(record.facts["crpix2"])
    with opened(path) as hdus:
        header = hdus[0].header.copy()
        model = noise_model(header, where=path)
        seconds = 1.0 if model.rate else model.exptime_s
        rate, error, weight = (
            np.array(hdus[name].data, dtype=np.float32) for name in ("SCI", "ERR", "WHT")
        )
        saturated = (np.array(hdus["DQ"].data) & ProductFlag.SATURATED) > 0
    return _Stack(rate / seconds, error / seconds, weight, saturated, header, place)


# ------------------------------------------------------------------------------- one place


@dataclass(frozen=True)
class _Sum:
    """Counts per second of all light, and their error."""

    value: float
    error: float


def _measured(difference: _Difference, place: Place, flag_mask: int) -> Point | None:
    x, y = difference.wcs.all_world2pix([place.ra_deg], [place.dec_deg], 0)
    window = difference.aperture.window(float(x[0]), float(y[0]), difference.data.shape)
    if window is None:
        return None
    flag = _SATURATED if _seen(difference, window, Flag.SATURATED) else 0
    total = _sum(difference, window)
    notes = list(_remarks(difference, window, total))
    counts = total is not None and not flag & flag_mask
    if total is None:
        notes.append("not measured: pixels are missing, or too few about it are known")
    elif not counts:
        notes.append("not counted: saturated")
    factor = difference.scale.ujy_per_count_s
    known = counts and total is not None and math.isfinite(total.value * factor)
    shared = difference.aperture.share_error * abs(total.value) if total is not None else 0.0
    return _point(
        difference,
        place,
        epoch=int(difference.row["epoch"]),
        header=difference.primary,
        file=str(difference.primary["E_FILE"]),
        flux_ujy=total.value * factor if total is not None and known else math.nan,
        flux_error_ujy=math.hypot(total.error, shared) * factor
        if total is not None and known
        else math.inf,
        shared_error_ujy=shared * factor if known else 0.0,
        flag=flag,
        note="; ".join(notes),
    )


def _sum(difference: _Difference, window: Window) -> _Sum | None:
    """The weighted sum as all light; None where pixels are missing, or nothing tells the share."""
    share = difference.aperture.share
    covered = difference.covered
    here = covered[window.rows, window.columns]
    beneath = background(difference.data, covered, window)
    if beneath is None or not math.isfinite(share) or not here[window.core].all():
        return None
    level, ring = beneath
    data = np.where(here, difference.data[window.rows, window.columns] - level, 0.0)
    error = np.where(here, difference.error[window.rows, window.columns], 0.0)
    value = float(np.sum(window.weights * data)) / share
    factor = weighted_sum_factor(difference.drop_ratio, window.weights, difference.kernel) or 1.0
    of_pixels = factor**2 * float(np.sum((window.weights * error) ** 2))
    of_ring = float(np.sum(window.weights)) ** 2 * float(np.mean(error[ring] ** 2)) / ring.sum()
    # Of a star, it matters where on the pixels it lies: of the source, and of one beneath it.
    floor = difference.star_floor
    own = floor / math.sqrt(2.0) * max(value, 0.0)
    constant = floor * _sharp_light(difference, window) / share
    lost = _rejected_light(difference, window) / share
    variance = (of_pixels + of_ring) / share**2 + own**2 + constant**2 + lost**2
    return _Sum(value, math.sqrt(variance))


def _floor_by_index(row: dict[str, Any], aperture: StackAperture) -> float:
    """The same where too few stars tell it: by wider apertures, or the scatter of shares."""
    floor = float(row["star_floor"])
    return floor if math.isfinite(floor) else math.sqrt(2.0) * aperture.share_scatter


def _sharp_light(difference: _Difference, window: Window) -> float:
    """The template's light that is as sharp as a star: its weighted sum above a close ring."""
    template = difference.template.rate[window.rows, window.columns]
    known = np.isfinite(template)
    close = window.close & known
    if not close.any():
        return 0.0
    light = np.where(known, template - float(np.median(template[close])), 0.0)
    return max(float(np.sum(window.weights * light)), 0.0)


def _rejected_light(difference: _Difference, window: Window) -> float:
    """Light of pixels that were taken for cosmic rays in an exposure: weighted sum.

    What is left of the exposures fell on other places of a star: the value there is of another
    pixel's light. It is as uncertain as the share of the weight that is missing.
    """
    total = 0.0
    for stack in (difference.epoch, difference.template):
        rate, error, weight = (
            plane[window.rows, window.columns] for plane in (stack.rate, stack.error, stack.weight)
        )
        usual = float(np.median(weight[window.ring]))
        known = np.isfinite(rate) & np.isfinite(error)
        if not (usual > 0 and known[window.ring].any()):
            continue
        light = np.where(known, rate, 0.0) - float(np.median(rate[window.ring & known]))
        seen = light > _SEEN_SIGMA * np.where(known, error, np.inf)
        missing = np.clip(1.0 - weight / usual, 0.0, 1.0)
        total += float(np.sum((window.weights * missing * light)[seen]))
    return total


def _seen(difference: _Difference, window: Window, flag: Flag) -> bool:
    part = difference.flags[window.rows, window.columns]
    return bool(np.any((part[window.core] & flag) > 0))


def _remarks(difference: _Difference, window: Window, total: _Sum | None) -> Iterator[str]:
    row = difference.row
    yield f"relative to epoch {int(row['template'])}"
    if difference.scale.fault:
        yield difference.scale.fault
    if difference.aperture.note:
        yield difference.aperture.note
    elif difference.aperture.share_error > 0:
        yield f"all fluxes share an error of {difference.aperture.share_error:.1%} (aperture)"
    if _seen(difference, window, Flag.ONE_EXPOSURE):
        yield "one exposure alone counts here: cosmic rays may stay"
    lost = _rejected_light(difference, window) / difference.aperture.share
    if total is not None and lost > _TOLD_SHARE * abs(total.value):
        yield "pixels of the source were taken for cosmic rays: a larger error"
    for name in ("problems", "note"):
        if str(row[name]):
            yield f"difference: {row[name]}"


def _of_template(difference: _Difference, place: Place) -> Point:
    """The template's own point: nothing was measured."""
    name = str(difference.primary["T_FILE"])
    return _point(
        difference,
        place,
        epoch=int(difference.row["template"]),
        header=difference.template.header,
        file=name,
        flux_ujy=math.nan,
        flux_error_ujy=math.inf,
        shared_error_ujy=0.0,
        flag=0,
        note="the template: differences are relative to it",
    )


def _point(
    difference: _Difference,
    place: Place,
    *,
    epoch: int,
    header: fits.Header,
    file: str,
    flux_ujy: float,
    flux_error_ujy: float,
    shared_error_ujy: float,
    flag: int,
    note: str,
) -> Point:
    middle = float(header["MJD-AVG"])
    return Point(
        source=place.source,
        method="difference",
        level="epoch",
        detector=str(difference.row["band"]).partition(".")[0],
        filter_name=str(difference.primary.get("FILTER", "")).upper(),
        epoch=epoch,
        images=(file,),
        mjd=middle,
        mjd_first=float(header.get("EXPSTART", middle)),
        mjd_last=float(header.get("EXPEND", middle)),
        exptime_s=float(header.get("EXPTIME", math.nan)),
        n_images=int(math.isfinite(flux_ujy)),
        flux_ujy=flux_ujy,
        flux_error_ujy=flux_error_ujy,
        shared_error_ujy=shared_error_ujy,
        st_minus_ab_mag=difference.scale.st_minus_ab_mag,
        vega_minus_ab_mag=difference.scale.vega_minus_ab_mag,
        flag=flag,
        note=note,
    )

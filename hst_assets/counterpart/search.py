"""One search for a counterpart: position, errors, candidates, their magnitudes, the verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hst_assets.counterpart.band_measurements import (
    band_declines,
    catalog_rows,
    completeness_rows,
    difference_rows,
    forced_means,
    forced_rows,
    noise_rows,
)
from hst_assets.counterpart.candidates import Candidate, find_candidates
from hst_assets.counterpart.disappearance import (
    BandDecline,
    Disappearance,
    judge_disappearance,
)
from hst_assets.counterpart.earlier_sources import EarlierSources, read_earlier_sources
from hst_assets.counterpart.epoch_tie import FrameTie, tie_terms
from hst_assets.counterpart.error_circle import ErrorBudget, ErrorTerm
from hst_assets.counterpart.image_groups import ImageGroups, group_images
from hst_assets.counterpart.image_rows import (
    EpochStack,
    difference_of_epoch,
    stack_of_epoch,
    stacks_of_epochs,
    templates_of_bands,
)
from hst_assets.counterpart.limits_told import limits_of_epochs
from hst_assets.counterpart.residuals import read_alignment_of
from hst_assets.counterpart.tables import THE_PLACE, BandMeasurement
from hst_assets.counterpart.transient_position import (
    TransientPosition,
    centroid_floor,
    given_position,
    measured_position,
    require_position,
)
from hst_assets.counterpart.verdict import Verdict, judge
from hst_assets.detection.image_planes import read_wcs
from hst_assets.detectors import DETECTORS
from hst_assets.failures import UnusableInput
from hst_assets.imaging.frames import opened
from hst_assets.photometry.artificial_stars.field import StarField, star_field
from hst_assets.photometry.dolphot.input_images import InputImage, read_input_images
from hst_assets.photometry.light_curve.difference_points import difference_points
from hst_assets.photometry.light_curve.forced_points import forced_points
from hst_assets.photometry.light_curve.limits import (
    LocalNoise,
    completeness_limits,
    local_noise,
)
from hst_assets.photometry.light_curve.points import Place, Point
from hst_assets.products.columns import read_table
from hst_assets.provenance import read_record
from hst_assets.settings import Settings
from hst_assets.sky_geometry import TangentPlane
from hst_assets.workdir import WorkDir

__all__ = ["Search", "SearchPhotometry"]

#: A WCS whose inverse leads so far (arcseconds) from where it began has failed: off the chip.
_SAME_PLACE_ARCSEC = 1.0
#: A measured place so many errors of the given one from that, and half a width, is doubtful.
_MOVED_ERRORS = 3.0


@dataclass(frozen=True, eq=False)
class SearchPhotometry:
    """What bands say of candidates and place.

    Attributes
    ----------
    rows : list of BandMeasurement
        Magnitudes and limits.
    fates : dict
        What became of each candidate, by its number; empty without late images.
    limits_of_epochs : dict of float
        3 sigma at the place by band and epoch, AB.
    """

    rows: list[BandMeasurement]
    fates: dict[int, Disappearance]
    limits_of_epochs: dict[tuple[str, int], float]


@dataclass(frozen=True)
class Search:
    """One search; each of its steps is made once, when it is asked for.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    settings : Settings
        As of `hst_assets.counterpart.product.make_counterpart`.
    """

    workdir: WorkDir
    settings: Settings

    # ----------------------------------------------------------------- images and position

    @cached_property
    def groups(self) -> ImageGroups:
        """The exposures by their part in the question."""
        return group_images(read_table(self.workdir.target_exposures), self.settings.counterpart)

    @cached_property
    def stacks(self) -> list[EpochStack]:
        """The drizzled epochs."""
        return stacks_of_epochs(self.workdir)

    @cached_property
    def about(self) -> tuple[float, float]:
        """The place that the settings name."""
        chosen = self.settings.counterpart
        place = require_position(chosen.ra_deg, chosen.dec_deg, self.workdir.settings_file)
        if not any(_shows(image, place) for image in self.images if image.role == "exposure"):
            raise UnusableInput(
                f"the place {place[0]:.7f} {place[1]:+.7f} lies on none of the target's exposures",
                where=self.workdir.dolphot_inputs,
                next_step="Set counterpart.ra_deg and dec_deg to a place that they show",
            )
        return place

    @cached_property
    def images(self) -> list[InputImage]:
        """Those of the catalogue: the reference, and the chips of the exposures."""
        return read_input_images(self.workdir)

    @cached_property
    def ties(self) -> tuple[FrameTie | None, FrameTie]:
        """Of the exposures on which the position is measured, and of the earlier ones."""
        alignment = read_alignment_of(self.workdir, self.settings.alignment.fit_geometry)
        early = alignment.tie("the earlier images", self.groups.early, self.about)
        if not self.groups.measured:
            return None, early
        name = f"epoch {self.settings.counterpart.measured_on}"
        return alignment.tie(name, self.groups.measured, self.about), early

    @cached_property
    def position(self) -> TransientPosition:
        """Where the object is, given or measured."""
        chosen = self.settings.counterpart
        late, _ = self.ties
        if late is None or chosen.measured_on is None:
            return given_position(*self.about, chosen.error_mas or math.nan)
        stack = stack_of_epoch(self.stacks, chosen.measured_on, self.workdir.stack_products)
        image = stack.path
        if chosen.on_difference:
            image = difference_of_epoch(self.workdir, chosen.measured_on)
        detector = DETECTORS[stack.band.partition(".")[0]]
        floor = centroid_floor(
            stack.path, late.bright_places(), detector, places_error_mas=late.floor_mas
        )
        if not math.isfinite(floor):
            floor = late.floor_mas
        return measured_position(image, *self.about, detector, floor_mas=floor)

    @property
    def place(self) -> tuple[float, float]:
        """RA and Dec of the object, degrees."""
        return self.position.ra_deg, self.position.dec_deg

    @cached_property
    def budget(self) -> ErrorBudget:
        """The errors of the place against the earlier images."""
        late, early = self.ties
        if late is not None:
            return ErrorBudget((self.position.centroid, *tie_terms(late, early)))
        error = self.settings.counterpart.frame_error_mas
        told = "given" if error is not None else self._frame_is()
        frame = ErrorTerm("frame", math.nan if error is None else error, told)
        own = ErrorTerm("alignment of the earlier images", early.error_mas, early.told)
        return ErrorBudget((self.position.centroid, own, frame))

    def _frame_is(self) -> str:
        """What is known of the target's frame, where the settings say nothing."""
        record = read_record(self.workdir.reference_product)
        tie = {} if record is None else record.facts.get("tie") or {}
        known = f"the target's is that of {tie['catalogue']}: {tie['reason']}" if tie else (
            "the target's is that of its anchor"
        )  # fmt: skip
        return f"counterpart.frame_error_mas is not set; {known}"

    # -------------------------------------------------------------------------- candidates

    @cached_property
    def sources(self) -> EarlierSources:
        """The catalogue as the earlier images have it."""
        return read_earlier_sources(
            self.workdir, None, self.settings.dolphot.base, self.groups.early
        )

    @cached_property
    def candidates(self) -> list[Candidate]:
        """The sources near the place."""
        chosen = self.settings.counterpart
        place = self.place  # first of all: whether the images show it
        field = star_field(self.images)
        return find_candidates(
            self.sources,
            place,
            self.budget,
            floor_mas=self.ties[1].floor_mas,
            search_sigma=chosen.search_sigma,
            detection_snr=chosen.detection_snr,
            density_radius_arcsec=chosen.density_radius_arcsec,
            covered=lambda inner, outer: _covered(field, place, inner, outer),
        )

    @cached_property
    def photometry(self) -> SearchPhotometry:
        """Magnitudes and limits of candidates and place, and what became of the former."""
        chosen = self.settings.counterpart
        rows = catalog_rows(self.sources, self.candidates, chosen)
        places = [
            Place(source=THE_PLACE, name="place", ra_deg=self.place[0], dec_deg=self.place[1]),
            *(
                Place(
                    source=one.number,
                    name=f"candidate {one.number}",
                    ra_deg=one.ra_deg,
                    dec_deg=one.dec_deg,
                )
                for one in self.candidates
            ),
        ]
        # By itself: beside a candidate at the same place the light would be shared between the two.
        forced = [
            *forced_points(self.workdir, self.settings, places[:1]),
            *forced_points(self.workdir, self.settings, places[1:]),
        ]
        templates = templates_of_bands(self.workdir)
        apart = difference_points(self.workdir, self.settings, places) if templates else []
        early, late = (
            forced_means(forced, group) for group in (self.groups.early, self.groups.late)
        )
        rows += forced_rows(early, "early", chosen) + forced_rows(late, "late", chosen)
        differences = difference_rows(apart, self.groups, templates, chosen)
        rows += differences
        noise = local_noise(self.workdir, self.settings, places[:1])
        rows += self._limits(places[0], noise)
        fates = {}
        if self.groups.late:
            for one in self.candidates:
                fates[one.number] = judge_disappearance(
                    [
                        *band_declines(one.number, early, late, differences),
                        *_late_alone(one.number, early, late),
                    ],
                    gone_sigma=chosen.gone_sigma,
                    detection_snr=chosen.detection_snr,
                    gone_share=chosen.gone_share,
                )
        of_epochs = limits_of_epochs(noise, forced, self.groups, chosen)
        return SearchPhotometry(rows, fates, of_epochs)

    def _limits(self, place: Place, noise: Sequence[LocalNoise]) -> list[BandMeasurement]:
        """By the noise about the place and, where no source is there, by artificial stars."""
        chosen = self.settings.counterpart
        rows = noise_rows(noise, self.groups, chosen)
        if not any(one.is_inside for one in self.candidates):
            found = completeness_limits(self.workdir, self.settings, [place], noise)
            rows += completeness_rows(found, self.groups, chosen)
        return rows

    # ------------------------------------------------------------------------ what is said

    @cached_property
    def verdict(self) -> Verdict:
        """What is said of it all."""
        limits = [
            f"  {row.band}: {_limit_told(row)}"
            for row in self.photometry.rows
            if row.number == THE_PLACE and row.images != "late"
        ]
        if limits:
            limits.insert(0, "Limits at the place (AB):")
        return judge(
            self.candidates,
            self.budget,
            max_chance_probability=self.settings.counterpart.max_chance_probability,
            limits=limits,
            disappearances=self.photometry.fates,
            doubts=self._doubts(),
            coverage=self._coverage(),
        )

    def _coverage(self) -> dict[str, bool]:
        """By band, whether an earlier exposure has the place on a good pixel."""
        measured = {
            row.band
            for row in self.photometry.rows
            if (row.number, row.method, row.images) == (THE_PLACE, "forced", "early")
            and math.isfinite(row.flux_ujy)
        }
        return {band: band in measured for band in self.groups.early_bands}

    def _doubts(self) -> list[str]:
        doubts = list(self.groups.doubts)
        position = self.position
        if position.moved_mas > max(position.fwhm_mas / 2, _MOVED_ERRORS * self._given_error_mas()):
            doubts.append(
                f"the measured place lies {position.moved_mas:.0f} mas from the given one: it may "
                "be another source"
            )
        doubts += [f"left out, without a zero point: {name}" for name in self.sources.not_converted]
        shining = {one.rootname for one in (*self.groups.shining, *self.groups.late)}
        if shining:
            doubts.append(
                f"the places of the catalogue are by all images, {len(shining)} of which are not "
                "earlier ones: a faint source that the object outshines there may have its place"
            )
        return doubts

    def _given_error_mas(self) -> float:
        return self.settings.counterpart.error_mas or 0.0


def _shows(image: InputImage, place: tuple[float, float]) -> bool:
    """Whether a place lies on a chip."""
    with opened(image.path) as hdus:
        ny, nx = hdus[0].shape
        wcs = read_wcs(hdus[0].header, hdus)
    x, y = (float(value) for value in wcs.all_world2pix(*place, 0, quiet=True))
    if not (-0.5 <= x < nx - 0.5 and -0.5 <= y < ny - 0.5):
        return False
    back = TangentPlane(*place, 1.0).project(np.column_stack(wcs.all_pix2world([x], [y], 0)))
    return bool(np.hypot(*back[0]) < _SAME_PLACE_ARCSEC)


def _covered(field: StarField, place: tuple[float, float], inner: float, outer: float) -> float:
    """Share of a ring about a place that was measured."""
    x, y = (float(value) for value in field.wcs.all_world2pix(*place, 0, quiet=True))
    if not (math.isfinite(x) and math.isfinite(y)):
        return 0.0
    reach = outer / field.scale_arcsec
    ny, nx = field.covered.shape
    rows = np.arange(max(int(y - reach), 0), min(int(y + reach) + 2, ny))
    columns = np.arange(max(int(x - reach), 0), min(int(x + reach) + 2, nx))
    if rows.size == 0 or columns.size == 0:
        return 0.0
    distance = np.hypot(rows[:, None] - y, columns[None, :] - x) * field.scale_arcsec
    ring = (distance >= inner) & (distance <= outer) & field.covered[np.ix_(rows, columns)]
    area = float(np.count_nonzero(ring)) * field.scale_arcsec**2
    return min(area / (math.pi * (outer**2 - inner**2)), 1.0)


def _late_alone(
    number: int, early: Mapping[tuple[int, str], Point], late: Mapping[tuple[int, str], Point]
) -> list[BandDecline]:
    """What a candidate has in bands of which there are only late images: whether it is seen."""
    own = {band: point for (source, band), point in late.items() if source == number}
    return [
        BandDecline(band, math.nan, math.inf, point.flux_ujy, point.flux_error_ujy)
        for band, point in sorted(own.items())
        if point.counts and not ((number, band) in early and early[number, band].counts)
    ]


def _limit_told(row: BandMeasurement) -> str:
    """The limits of a band by one method, in words."""
    told = [
        f"{limit:.2f} {what}"
        for limit, what in (
            (row.limit_3sigma_mag, "(3 sigma)"),
            (row.limit_5sigma_mag, "(5 sigma)"),
            (row.limit_50_mag, "(half of the stars found)"),
            (row.absolute_limit_mag, "absolute (3 sigma)"),
        )
        if math.isfinite(limit)
    ]
    note = f" ({row.note})" if row.note else ""
    return f"{', '.join(told) or 'none'} by {row.method}, {row.images} images{note}"

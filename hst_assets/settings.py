"""Science settings, one model a stage; where they are read from and how they are merged.

The models' defaults hold for everyone; ``<root>/settings.toml`` changes them for every target of
a root; ``<target>/target.toml`` for one target. Unknown keys are errors. Units stand in the names
or in the types. The section `MachineSettings` is about the computer, not the sky: it never
enters a recipe's digest.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import MutableMapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import tomlkit
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from hst_assets.detectors import DETECTORS
from hst_assets.failures import BadConfiguration
from hst_assets.sky_position import parse_position
from hst_assets.workdir import WorkDir, write_atomically

__all__ = [
    "AlignmentSettings",
    "ArchiveSettings",
    "CatalogSettings",
    "DifferenceSettings",
    "DrizzleSettings",
    "EpochSettings",
    "GateSettings",
    "MachineSettings",
    "ReferenceFileSettings",
    "ReferenceSettings",
    "SelectionSettings",
    "Settings",
    "TargetSettings",
    "load_settings",
    "write_settings",
]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


_OBJECT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+.-]{0,63}")


def _as_sequence(value: Any) -> Any:
    """One name or number where several may stand."""
    return (value,) if isinstance(value, str | int) else value


def _as_proposals(value: Any) -> Any:
    """Proposal numbers, one or several, as text without leading zeros."""
    values = value if isinstance(value, (tuple, list)) else (value,)
    texts = [str(number).strip() for number in values if not isinstance(number, bool)]
    if len(texts) != len(values) or not all(text.isascii() and text.isdigit() for text in texts):
        raise ValueError("proposals are numbers, such as 12891")
    return tuple(sorted({str(int(text)) for text in texts}))


def _as_moment(value: Any) -> Any:
    """TOML has dates of its own; here a moment is ISO 8601 text in UTC."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return value.isoformat() if isinstance(value, date) else value


def _from_home(path: Path) -> Path:
    """A path with the home folder in place of a leading ``~``."""
    try:
        return path.expanduser()
    except RuntimeError as error:  # ~name of nobody
        raise ValueError(str(error)) from error


def _known_detector(key: str) -> str:
    if key not in DETECTORS:
        raise ValueError(f"not a detector; known are {', '.join(DETECTORS)}")
    return key


Names = Annotated[tuple[str, ...], BeforeValidator(_as_sequence)]
Methods = Annotated[
    tuple[Literal["tweakreg", "jhat", "catalog"], ...],
    BeforeValidator(_as_sequence),
    Field(min_length=1),
]
DetectorKey = Annotated[str, AfterValidator(_known_detector)]
UserPath = Annotated[Path, AfterValidator(_from_home)]
PerDetector = dict[DetectorKey, Positive]
Moment = Annotated[str, BeforeValidator(_as_moment)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    def as_recipe(self) -> dict[str, Any]:
        """The section as JSON, for a recipe."""
        return self.model_dump(mode="json")


class TargetSettings(_Section):
    """Where the target is (ICRS)."""

    #: Right ascension, degrees.
    ra_deg: Annotated[float, Field(ge=0, lt=360)] | None = None
    #: Declination, degrees.
    dec_deg: Annotated[float, Field(ge=-90, le=90)] | None = None
    #: Sensors and schedules pass this target over (``hst-assets target retire``).
    retired: bool = False

    def as_recipe(self) -> dict[str, Any]:
        """The position, as JSON; retirement changes no product."""
        return self.position()

    def position(self) -> dict[str, Any]:
        """Right ascension and declination alone."""
        return self.model_dump(mode="json", include={"ra_deg", "dec_deg"})

    @model_validator(mode="after")
    def _both_or_none(self) -> TargetSettings:
        if (self.ra_deg is None) != (self.dec_deg is None):
            raise ValueError("ra_deg and dec_deg belong together")
        return self


class SelectionSettings(_Section):
    """Which exposures are used."""

    #: Exposures that start at or after this moment (ISO 8601, UTC) are refused.
    before: Moment | None = None
    #: Exposures that start before this moment (ISO 8601, UTC) are refused.
    after: Moment | None = None
    #: If not empty, only these filters (case does not matter).
    only_filter: Names = ()
    #: Only wide filters: names ending in X, W or LP.
    only_wide: bool = False
    #: Exposures shorter than this are refused unless `keep_short`.
    min_exptime_s: NotNegative = 15.0
    #: Keep exposures however short they are.
    keep_short: bool = False
    #: Keep exposures whose EXPFLAG is INDETERMINATE.
    keep_indt: bool = False
    #: Keep exposures whose EXPFLAG contains TDF-DOWN.
    keep_tdf_down: bool = False
    #: The target may lie this far outside the footprint; negative: it must lie that far inside.
    footprint_margin_arcsec: float = 0.0

    @field_validator("before", "after")
    @classmethod
    def _a_date(cls, value: str | None) -> str | None:
        if value is not None:
            from astropy.time import Time

            try:
                Time(value)
            except ValueError:
                raise ValueError(f"not a moment in ISO 8601, such as 2013-06-01: {value}") from None
        return value

    @model_validator(mode="after")
    def _in_order(self) -> SelectionSettings:
        if self.before and self.after:
            from astropy.time import Time

            if Time(self.before) <= Time(self.after):
                raise ValueError("before must be later than after")
        return self

    @field_validator("only_filter")
    @classmethod
    def _upper_case(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({name.strip().upper() for name in value}))


class ArchiveSettings(_Section):
    """What is asked of the archive (MAST) for this target, and how its files are fetched.

    The target's position and ``selection`` (before, after, only_filter, only_wide, shortest
    exposure) are asked for as well.
    """

    #: The exposures of this target are looked for at MAST: by `raw_exposures`, the sensor on new
    #: data and the nightly sweep. Otherwise raw/ holds what was ingested.
    query: bool = False
    #: Name that was resolved to the target's position; for the record.
    object: str | None = None
    #: Only exposures of these proposals (numbers). With proposals, a position is not needed.
    proposals: Annotated[tuple[str, ...], BeforeValidator(_as_proposals)] = ()
    #: Pointings within this radius of the target are looked at.
    radius_arcmin: Annotated[float, Field(gt=0, le=60)] = 5.0
    #: Only these instruments (WFC3, ACS, WFPC2); empty: all.
    instruments: Annotated[
        tuple[Literal["WFC3", "ACS", "WFPC2"], ...], BeforeValidator(_as_sequence)
    ] = ()
    #: Only these detectors (keys such as wfc3_uvis); empty: all of the instruments.
    detectors: Annotated[tuple[DetectorKey, ...], BeforeValidator(_as_sequence)] = ()
    #: Exposures longer than this are left in the archive.
    max_exptime_s: Positive | None = None
    #: Calibration levels of the observations that are taken (CAOM: 2 calibrated, 3 with a
    #: combined product besides; 1 is raw only, for which there is nothing to fetch).
    calib_levels: Annotated[tuple[Literal[1, 2, 3], ...], BeforeValidator(_as_sequence)] = (2, 3)
    #: Public exposures only, or those under exclusive access as well (these need a token).
    data_rights: Literal["public", "all"] = "public"
    #: Only exposures whose footprint holds the target.
    must_hold_target: bool = True
    #: The archive's footprints are believed to this accuracy; what is taken is looked at again by
    #: its own WCS (`selection.footprint_margin_arcsec`).
    footprint_slack_arcsec: NotNegative = 10.0
    #: A listing of the archive's holdings younger than this serves without asking again.
    listing_max_age_s: NotNegative = 900.0
    #: Files of a visit that are fetched at a time.
    n_workers: Annotated[int, Field(ge=1, le=32)] = 8
    #: Seconds that the service may be silent.
    timeout_s: Positive = 60.0
    #: How often a transfer is tried where another try may help.
    max_tries: Annotated[int, Field(ge=1)] = 5
    #: Wait before the second try, about doubled before each further one, with chance in it.
    first_wait_s: Positive = 1.0
    #: Address of MAST.
    mast_url: str = "https://mast.stsci.edu"
    #: Address of CDS' name resolver Sesame.
    sesame_url: str = "https://cds.unistra.fr/cgi-bin/nph-sesame/"
    #: Take public files from the open-data copy first (anonymous), and from MAST what it lacks.
    s3: bool = False
    #: Address of the bucket ``stpubdata``.
    s3_url: str = "https://stpubdata.s3.us-east-1.amazonaws.com"
    #: An archive tree that fetched files are kept in (``INST/DET/round(ra)/name``), shared by
    #: targets; raw/ has hard links to it, or copies.
    tree: UserPath | None = None


class EpochSettings(_Section):
    """How exposures are grouped in time."""

    #: Exposures of one detector and filter closer than this belong to one epoch (chained).
    max_gap_days: Positive = 1.0


class ReferenceSettings(_Section):
    """Which image everything is aligned to."""

    #: An image of the user's own (FITS with a celestial WCS); it is never modified.
    image: UserPath | None = None
    #: Only these filters may give the reference (the guide's --reference-filter).
    filter: Names = ()
    #: Only detectors whose key contains this text, such as "wfc3" or "acs_wfc".
    instrument: str | None = None
    #: Do not choose WFPC2 where anything else exists.
    avoid_wfpc2: bool = False
    #: Filters preferred for the reference. Of those present, the deepest wins.
    preferred_filters: Names = (
        "F606W",
        "F555W",
        "F814W",
        "F350LP",
        "F110W",
        "F105W",
        "F336W",
    )


class AlignmentSettings(_Section):
    """How exposures are brought onto the reference frame."""

    #: Methods in the order in which they are tried on an exposure (the guide's --align-with);
    #: the first that passes the gate wins.
    align_with: Methods = ("tweakreg",)
    #: Align the drizzled epochs of each visit to the reference first, hand their motion on to the
    #: exposures, then align these; those that fail keep their epoch's WCS (--hierarchical).
    hierarchical: bool = False
    #: Compute the WCS anew from the detector's reference files: where an exposure's header has no
    #: distortion (no SIP polynomials), always (from the spacecraft's pointing), or never.
    update_wcs: Literal["if_needed", "always", "never"] = "if_needed"
    #: Keep the archive's WCS and say so in every product.
    skip_tweakreg: bool = False
    #: Radius within which the offset is searched (the guide's --tweak-search).
    search_radius_arcsec: Annotated[float, Field(gt=0, le=60)] = 1.0
    #: Fewest matches TweakReg may fit (--tweak-min-obj).
    min_objects: Annotated[int, Field(ge=3)] = 10
    #: At most so many of the brightest sources are matched (--tweak-nbright).
    n_brightest: Annotated[int, Field(ge=10)] = 4000
    #: Detection threshold of the first try, in standard deviations of the sky (--tweak-thresh).
    threshold_sigma: Positive = 10.0
    #: Choose the first threshold from the counts of sources above 3 to 80 standard deviations, so
    #: that four times `n_brightest` are found, or as many as there are.
    threshold_curve: bool = False
    #: FWHM of a star in native pixels, by detector, instead of the registry's (conv_width).
    conv_width_pix: PerDetector = {}
    #: Matching tolerance of the first try in native pixels, by detector, instead of the
    #: registry's.
    tolerance_pix: PerDetector = {}
    #: Keep the star lists that were matched, beside the aligned exposures (--keep-objfile).
    keep_objfile: bool = False
    #: What the fit may change: shift; shift and rotation (rshift); these and scale (rscale); or
    #: each axis by itself (general).
    fit_geometry: Literal["shift", "rshift", "rscale", "general"] = "rshift"
    #: The relaxation ladder: each further try lowers the threshold and widens the search.
    max_tries: Annotated[int, Field(ge=1)] = 4
    #: Detection threshold of each further try over that of the one before.
    threshold_factor: Annotated[float, Field(gt=0, le=1)] = 0.6
    #: Matching tolerance of each further try over that of the one before.
    tolerance_factor: Annotated[float, Field(ge=1)] = 1.3
    #: Search radius of each further try over that of the one before.
    search_factor: Annotated[float, Field(ge=1)] = 1.5
    #: Clean cosmic rays on a scratch copy before looking for sources (never for WFC3/IR).
    clean_cosmic_rays: bool = True
    #: What happens to an exposure that fails: left out of the products, or used with the
    #: archive's WCS.
    on_failure: Literal["exclude", "keep_a_priori"] = "exclude"

    @field_validator("align_with")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("each method may stand once")
        return value


class CatalogSettings(_Section):
    """The absolute catalogue of the alignment method ``catalog``."""

    #: ``gaia``, or a table of the user's own (ECSV, CSV or FITS with columns ra and dec in
    #: degrees, ICRS; and, where known, epoch or ref_epoch in years, pmra (times cos Dec) and pmdec
    #: in mas/yr, mag); relative paths are from the work directory.
    source: UserPath = Path("gaia")
    #: TAP services with Gaia DR3, asked in this order until one answers.
    tap_services: Names = (
        "https://gea.esac.esa.int/tap-server/tap",
        "https://gaia.ari.uni-heidelberg.de/tap",
        "https://tapvizier.cds.unistra.fr/TAPVizieR/tap",
    )
    #: Stars of Gaia fainter than this (G) are left out; not of a table of the user's own.
    faintest_mag: float = 21.0
    #: Stars whose position is less certain than this at the epoch of the exposure are left out: the
    #: errors of position and motion, and the parallax, added in quadrature.
    max_position_error_mas: Positive = 10.0
    #: Seconds that one service may take to answer, all its tries and parts together.
    timeout_s: Positive = 60.0
    #: Where answers are kept, field by field (a relative path is from the work directory); None: a
    #: folder ``.catalogs`` beside the targets.
    cache: UserPath | None = None


class ReferenceFileSettings(_Section):
    """Where the detectors' distortion files are found, in this order.

    Relative folders are from the work directory.
    """

    #: Folder of WFC3's reference files; None: $iref.
    iref: UserPath | None = None
    #: Folder of ACS's reference files; None: $jref.
    jref: UserPath | None = None
    #: Folder of WFPC2's reference files; None: $uref.
    uref: UserPath | None = None
    #: Where fetched files are kept; None: a folder ``.reference_files`` beside the targets.
    cache: UserPath | None = None
    #: Fetch what is missing from `crds_url`.
    fetch: bool = True
    #: Address below which CRDS serves reference files by name.
    crds_url: str = "https://hst-crds.stsci.edu/unchecked_get/references/hst"
    #: Seconds that the service may be silent.
    timeout_s: Positive = 60.0
    #: How often a transfer is tried.
    max_tries: Annotated[int, Field(ge=1)] = 4


class GateSettings(_Section):
    """When a fit is believed. Lengths in pixels are pixels of the exposure's own detector."""

    #: Fewest stars of a fit that is believed.
    min_matches: Annotated[int, Field(ge=3)] = 10
    #: Largest RMS of the fit's residuals on either axis.
    max_rms_pix: Positive = 0.5
    #: RMS of the worse axis over the better one.
    max_rms_axis_ratio: Annotated[float, Field(gt=1)] = 2.0
    #: Largest motion of the exposure; guide-star catalogue errors are below about 2 arcsec.
    max_shift_arcsec: Positive = 3.0
    #: Largest rotation of the exposure, degrees.
    max_rotation_deg: Positive = 0.1
    #: Largest departure of the scale from 1; only a fit with a free scale is judged by it.
    max_scale_error: Positive = 1e-3
    #: Share of the sources left out at a time, in turn, to judge the fit by them.
    held_out_fraction: Annotated[float, Field(gt=0, lt=0.8)] = 0.25
    #: Largest median offset of held-out stars on either axis; also of the fit from those without
    #: a part of the stars, and of what a remaining rotation would move the stars by.
    max_held_out_offset_pix: Positive = 0.2
    #: Fewest held-out stars that must be found again within the tolerance.
    min_held_out: Annotated[int, Field(ge=1)] = 3
    #: Pairs found over pairs found with scrambled catalogues, searched the same way, and over those
    #: at any other offset of the same lists. Measured on lists of 14 to 3000 sources: unrelated
    #: ones reach 1.3, related ones begin at 5.7.
    min_contrast: Annotated[float, Field(gt=1)] = 2.5
    #: Between PASS and FAIL: a fit that misses one of the soft limits (RMS, axis ratio) by less
    #: than this factor is COMPROMISED: used, and said so.
    compromise_factor: Annotated[float, Field(ge=1)] = 1.5


class DrizzleSettings(_Section):
    """How exposures are combined (AstroDrizzle)."""

    #: What the products' frame is: the smallest rectangle about the target that covers the
    #: exposures, or the smallest wherever it lies.
    frame: Literal["target", "minimal"] = "target"
    #: Keep the orientation of the reference's first exposure instead of north up
    #: (the guide's --no-rotation); one for all products of a target.
    no_rotation: bool = False
    #: Exposures (rootnames) that go into the reference image besides those chosen (--drizzle-add);
    #: of the reference's detector and filter, in use or refused by the selection.
    add: Names = ()
    #: Centre ("ra,dec", any usual notation) of a box that is masked in the exposures of the
    #: reference image, and outside of which the exposures of `add` are masked (--drizzle-mask).
    mask: str | None = None
    #: Half the side of that box, in native pixels.
    mask_half_size_pix: Annotated[int, Field(ge=1)] = 200
    #: Do not look for the cosmic rays of one or two exposures with the help of others of the same
    #: detector (--no-mask).
    no_mask: bool = False
    #: Rescale products to this AB zero point (--fix-zpt).
    fix_zero_point: Annotated[float, Field(ge=-50, le=100)] | None = None
    #: Who drives drizzlepac's C code: this project, on several cores and through memory, or
    #: AstroDrizzle. Pixels are the same but for rounding (1e-6). AstroDrizzle also makes what the
    #: other does not: products with kernel lanczos3 or driz_cr_corr, and with keep_artifacts.
    engine: Literal["direct", "astrodrizzle"] = "direct"
    #: A TOML file with AstroDrizzle's parameters by name, in tables for all or by detector and
    #: number of exposures, that take the place of the registry's; relative paths are from the
    #: work directory.
    parameters_file: UserPath | None = None
    #: The same tables, written here; they win over those of `parameters_file`.
    parameters: dict[str, dict[str, Any]] = {}
    #: Pixel scale of the product in arcsec; None: the detector's own figure.
    scale_arcsec: Annotated[float, Field(ge=0.005, le=2)] | None = None
    #: Side of a square frame centred on the target, in pixels (the guide's --drizzle-dim);
    #: None: the smallest frame that covers the exposures.
    size_pix: Annotated[int, Field(gt=15)] | None = None
    #: Side of the drop over that of the native pixel (final_pixfrac); lanczos3 takes 1 always.
    pixfrac: Annotated[float, Field(gt=0, le=1)] = 0.8
    #: Shape of the drop (final_kernel).
    kernel: Literal["square", "point", "gaussian", "turbo", "lanczos3"] = "square"
    #: Subtract the sky before combining.
    sky_sub: bool = True
    #: How the median image is combined; None: minmed below 7 exposures, median from there on.
    combine_type: Literal["median", "minmed", "imedian", "iminmed", "mean"] | None = None
    #: What the weight map holds (final_wht_type): exposure time, or inverse variance of the
    #: background (IVM; wants the flat fields) or of each pixel (ERR; dims bright stars).
    weight_type: Literal["EXP", "ERR", "IVM"] = "EXP"
    #: cps: electrons per second; counts: electrons in the whole exposure time. (WFPC2: DN.)
    units: Literal["cps", "counts"] = "cps"
    #: Name of the object, prefixed to file names and written to TARGNAME.
    object_name: str | None = None
    #: Keep AstroDrizzle's scratch products (the guide's --keep-drizzle-artifacts).
    keep_artifacts: bool = False
    #: Largest share of a product's footprint that may be without weight or not finite.
    max_bad_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    #: Largest departure of star fluxes on the product from those on the exposures.
    max_flux_error: Annotated[float, Field(gt=0, lt=1)] = 0.05

    @field_validator("mask")
    @classmethod
    def _a_position(cls, value: str | None) -> str | None:
        if value is not None:
            parse_position(value)
        return value

    @field_validator("object_name")
    @classmethod
    def _a_file_name(cls, value: str | None) -> str | None:
        if value is not None and not _OBJECT_NAME.fullmatch(value):
            raise ValueError(
                "must serve as the beginning of a file name: letters, digits, '_', '+', '-', '.'"
            )
        return value


class DifferenceSettings(_Section):
    """Difference images between epochs of one detector and filter."""

    #: Which epoch is subtracted from the others: the deepest, the first, the last, or the one of
    #: this number.
    template: Literal["deepest", "first", "last"] | Annotated[int, Field(ge=1)] = "deepest"


class MachineSettings(_Section):
    """The computer's limits; they never change a product."""

    #: Tool calls that run at a time.
    max_cores: Annotated[int, Field(ge=1)] = 2
    #: Seconds after which one tool call is stopped.
    tool_timeout_s: Positive = 3600.0


class Settings(_Section):
    """Everything that may be set for one target."""

    target: TargetSettings = TargetSettings()
    archive: ArchiveSettings = ArchiveSettings()
    selection: SelectionSettings = SelectionSettings()
    epochs: EpochSettings = EpochSettings()
    reference: ReferenceSettings = ReferenceSettings()
    alignment: AlignmentSettings = AlignmentSettings()
    gate: GateSettings = GateSettings()
    catalog: CatalogSettings = CatalogSettings()
    reference_files: ReferenceFileSettings = ReferenceFileSettings()
    drizzle: DrizzleSettings = DrizzleSettings()
    difference: DifferenceSettings = DifferenceSettings()
    machine: MachineSettings = MachineSettings()


def load_settings(workdir: WorkDir) -> Settings:
    """The settings in force for one target.

    Raises
    ------
    BadConfiguration
        If a file is not TOML, or holds an unknown key or a value out of range; the message names
        file and key.
    """
    merged: dict[str, Any] = {}
    where = workdir.settings_file
    for path in (workdir.root_settings_file, workdir.settings_file):
        content = _read_toml(path)
        if path == workdir.root_settings_file and not _is_valid(content):
            where = path
        for section, values in content.items():
            known = merged.setdefault(section, {})
            if isinstance(known, dict) and isinstance(values, dict):
                known.update(values)
            else:
                merged[section] = values
    try:
        return Settings.model_validate(_with_parameters_file(merged, workdir))
    except ValidationError as error:
        raise BadConfiguration(_explain(error), where=where) from error


def _with_parameters_file(content: dict[str, Any], workdir: WorkDir) -> dict[str, Any]:
    """`content` with the tables of ``drizzle.parameters_file`` below those of its own."""
    drizzle = content.get("drizzle")
    if not isinstance(drizzle, dict) or not isinstance(drizzle.get("parameters_file"), str):
        return content
    try:
        path = workdir.base / _from_home(Path(drizzle["parameters_file"]))
    except ValueError as error:
        raise BadConfiguration(str(error), where="drizzle.parameters_file") from error
    if not path.is_file():
        raise BadConfiguration("drizzle.parameters_file is not there", where=path)
    tables = _read_toml(path)
    own = drizzle.get("parameters", {})
    return {**content, "drizzle": {**drizzle, "parameters": _merged(tables, own)}}


def _merged(below: Any, above: Any) -> Any:
    """Tables in tables put together, those of `above` winning."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {
        **below,
        **{
            key: _merged(below[key], value) if key in below else value
            for key, value in above.items()
        },
    }


def _is_valid(content: dict[str, Any]) -> bool:
    try:
        Settings.model_validate(content)
    except ValidationError:
        return False
    return True


def write_settings(workdir: WorkDir, changes: dict[str, dict[str, Any]]) -> Settings:
    """Change settings of one target in its file, keeping the user's comments.

    Parameters
    ----------
    workdir : WorkDir
        Whose target.toml is changed; it is made where it does not exist.
    changes : dict
        ``{section: {key: value}}``; None takes the key out, back to the default.

    Raises
    ------
    BadConfiguration
        If the result would not be valid; the file then stays as it was.
    """
    path = workdir.settings_file
    _read_toml(path)  # what is no TOML is told by file and line
    document = (
        tomlkit.parse(path.read_text(encoding="utf-8-sig"))
        if path.is_file()
        else tomlkit.document()
    )
    for section, values in changes.items():
        table = document.setdefault(section, tomlkit.table())
        if not isinstance(table, MutableMapping):
            raise BadConfiguration(f"{section!r} is not a section but {table!r}", where=path)
        for key, value in values.items():
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value
    try:
        Settings.model_validate(_with_parameters_file(document.unwrap(), workdir))
    except ValidationError as error:
        raise BadConfiguration(_explain(error), where=path) from error
    with write_atomically(path) as part:
        part.write_text(tomlkit.dumps(document))
    return load_settings(workdir)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"not valid TOML: {error}", where=path) from error


def _explain(error: ValidationError) -> str:
    """One clause a fault: which key, what is wrong, what was given."""
    faults = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            faults.append(f"unknown setting {key!r}")
        else:
            faults.append(f"{key}: {fault['msg']} (got {fault['input']!r})")
    return "; ".join(faults)

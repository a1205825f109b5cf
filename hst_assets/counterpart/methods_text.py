"""A paragraph on methods and a table of the images, ready to be pasted into a paper."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from astropy.time import Time

from hst_assets.counterpart.candidates import INNER_SHARE, OUTER_SHARE
from hst_assets.counterpart.error_circle import ErrorBudget
from hst_assets.counterpart.luminosity import extinction_of
from hst_assets.detectors import DETECTORS
from hst_assets.photometry.catalog.vega import vega_bands
from hst_assets.settings.counterpart import CounterpartSettings

__all__ = ["ImageRow", "instrument_of", "latex_table", "methods_paragraph"]

_WIDTH = 100
_CHANCE = (
    "The errors of the alignment follow from the residuals of the stars of its fits. The "
    "probability of a chance coincidence is that of at least one unrelated source as bright as the "
    "candidate within the larger of its distance and the circle of 99 per cent (Bloom et al. "
    "2002), by the density within {radius:g} arcsec."
)
#: Characters that mean something to LaTeX, in texts that are not ours (filters, programmes).
_LATEX = {"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}"}


@dataclass(frozen=True)
class ImageRow:
    """The exposures of one band and epoch.

    Attributes
    ----------
    band : str
        Detector and filter.
    instrument, filter_name : str
        As papers write them: ``WFC3/UVIS``, ``F814W``.
    epoch : int
        Its number.
    mjd : float
        Start of the first exposure.
    n_exposures, exptime_s : int, float
        How many, and their total time.
    programmes : tuple of str
        Numbers of the proposals; "unknown" where a header has none.
    part : str
        early, late, the object's, or other.
    zero_point_ab : float
        AB magnitude of one unit per second; NaN where the exposures have none or several.
    limit_3sigma_mag : float
        Of the place in these exposures alone, AB; NaN where it was not measured.
    """

    band: str
    instrument: str
    filter_name: str
    epoch: int
    mjd: float
    n_exposures: int
    exptime_s: float
    programmes: tuple[str, ...]
    part: str
    zero_point_ab: float
    limit_3sigma_mag: float = math.nan


def methods_paragraph(
    rows: Sequence[ImageRow],
    budget: ErrorBudget,
    settings: CounterpartSettings,
    *,
    limits: Mapping[str, float],
    photometer: str,
    software: Mapping[str, Sequence[str]],
    calibrations: Sequence[str],
    measured_on: str,
) -> str:
    """The paragraph.

    Parameters
    ----------
    rows : sequence of ImageRow
        The images.
    budget : ErrorBudget
        Of the position.
    settings : CounterpartSettings
        Extinction, distance and limits.
    limits : mapping
        3 sigma at the place in all earlier images of a band together, AB magnitudes by band.
    photometer : str
        What measured the stars.
    software : mapping
        Versions of what aligned and drizzled the images, by name.
    calibrations : sequence of str
        Versions of the calibration that the headers name.
    measured_on : str
        The image on which the position was measured; empty: it was given.
    """
    programmes = sorted({each for row in rows for each in row.programmes})
    bands = sorted({f"{row.instrument} {row.filter_name}" for row in rows})
    total = sum(row.n_exposures for row in rows)
    with_what = ", ".join(f"{name} {' and '.join(each)}" for name, each in software.items())
    inner, outer = (budget.radius_mas(share) for share in (INNER_SHARE, OUTER_SHARE))
    terms = ", ".join(
        f"{term.name} ({term.error_mas:.1f} mas)" for term in budget.terms if term.is_known
    )
    calibrated = ", ".join(calibrations) or "a version that the headers do not name"
    where = f"measured on {measured_on}" if measured_on else "given"
    position = (
        f"The position of the object was {where}; its error on each axis is the quadratic sum of "
        f"{terms}: {budget.error_mas:.1f} mas, so that circles of {inner:.1f} and "
        f"{outer:.1f} mas hold it with 68 and 99 per cent."
    )
    images = (
        f"We used {total} exposures of the Hubble Space Telescope in {', '.join(bands)} "
        f"(programmes {', '.join(programmes)}; Table 1)."
    )
    made = (
        f"They were calibrated by {calibrated}, aligned and drizzled with "
        f"{with_what or 'unknown software'}, and measured with {photometer}."
    )
    sentences = [
        images,
        made,
        position,
        *(f"Not known, and not in this error: {each}." for each in budget.unknown),
        _CHANCE.format(radius=settings.density_radius_arcsec),
        _limits(limits),
        _distance(rows, settings),
    ]
    return textwrap.fill(" ".join(filter(None, sentences)), _WIDTH) + "\n"


def _limits(limits: Mapping[str, float]) -> str:
    if not limits:
        return ""
    told = ", ".join(f"{limit:.2f} ({band})" for band, limit in sorted(limits.items()))
    return (
        "The limits at 3 sigma at the position in all earlier images of a band together are "
        f"{told} AB mag."
    )


def _distance(rows: Sequence[ImageRow], settings: CounterpartSettings) -> str:
    told = []
    for key in sorted({(row.band, row.instrument, row.filter_name) for row in rows}):
        band, _, filter_name = key
        known = vega_bands().get((band.partition(".")[0], filter_name))
        found = extinction_of(band, known.pivot_angstrom if known else None, settings)
        if found is not None and found.mag > 0:
            told.append(f"A({filter_name}) = {found.mag:.3f} mag ({found.source})")
    parts = [f"Magnitudes were corrected for extinction: {'; '.join(told)}."] if told else []
    if settings.distance_modulus_mag is not None:
        parts.append(
            f"The distance modulus is {settings.distance_modulus_mag:g} +- "
            f"{settings.distance_modulus_error_mag:g} mag."
        )
    return " ".join(parts)


def latex_table(rows: Sequence[ImageRow], *, target: str) -> str:
    """The table of the images in LaTeX, without packages.

    Parameters
    ----------
    rows : sequence of ImageRow
        The images.
    target : str
        Name of the target.
    """
    head = "Date & Instrument & Filter & Exposures & Time & Programme & Zero point & Limit & Images"
    units = " & & & & (s) & & (AB mag) & (3$\\sigma$, AB mag) & "
    lines = [
        r"\begin{table}",
        rf"\caption{{Exposures of {_escaped(target)}.}}",
        r"\begin{tabular}{lllrrlrrl}",
        r"\hline",
        rf"{head} \\",
        rf"{units} \\",
        r"\hline",
    ]
    for row in sorted(rows, key=lambda each: (each.mjd, each.band)):
        date = Time(row.mjd, format="mjd", scale="utc").isot[:10]
        cells = (
            date,
            row.instrument,
            row.filter_name,
            str(row.n_exposures),
            f"{row.exptime_s:.0f}",
            ", ".join(row.programmes),
            _number(row.zero_point_ab, 3),
            _number(row.limit_3sigma_mag, 2),
            row.part,
        )
        lines.append(" & ".join(map(_escaped, cells)) + r" \\")
    lines += [r"\hline", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def instrument_of(band: str) -> str:
    """Instrument and detector of a band, as papers write them."""
    row = DETECTORS[band.partition(".")[0]]
    return row.instrument if row.instrument == row.detector else f"{row.instrument}/{row.detector}"


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "..."


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)

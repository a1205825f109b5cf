"""The width of a prior PSF by stars that are too few, or too faint, to make a PSF of their own.

A prior has the wrong width by some per cent: of its model, of the telescope's focus. A faint star's
flux is off by as much. Each star gives an estimate of the width with an error by noise, and the
prior is one more estimate. The PSF gets the mean of all estimates, whose error goes into the errors
of fluxes.

What is no star is wider: a galaxy, a pair. So the widths are taken for those of stars, which have
one, and of others beyond it, with a tail; their shares are not known. Galaxies of one width cannot
be told from stars. Thus a PSF is made wider to a bound only, and the error holds a share of that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp

from hst_assets.photometry.psf.spline_psf import SplinePsf, widened
from hst_assets.photometry.psf.star_stamps import StarStamps

__all__ = ["PRIOR_ERROR", "PriorWidth", "blurred", "of_known_error", "prior_of_width"]

Floats = NDArray[np.float64]

#: Relative error of a prior's FWHM. The model for this package's own simulated detectors is off by
#: up to 8 %; focus alone changes HST's PSFs by some per cent.
PRIOR_ERROR = 0.05
#: Pixels so near to a star tell its width.
_CORE_PIX = 4.0
#: A star with so much of its core's pixels good is used.
_MIN_GOOD = 0.8
#: Bounds of the change, in errors of the prior: galaxies make a PSF wider, nothing makes it
#: narrower; sharpened by more than a quarter of the core's variance, its series fails.
_NARROWEST, _WIDEST = -5.0, 2.5
_STEP = 0.02
#: What is no star is wider by so much in the mean, in errors of the prior. A simulated galaxy whose
#: FWHM is 1.2 (1.3, 2.2) that of a star measures 2.6 (3.3, 4.7): linear for small changes only.
_TAIL = 4.0
#: Shares of such objects, each as likely: of an almost empty field, next to none or nearly all.
_SHARES_WIDE = np.linspace(0.05, 0.95, 10)
#: Share of widths, and their density, that tell nothing: of rays and bad pixels.
_SPOILT, _SPOILT_DENSITY = 0.02, 0.05
#: So many objects disagree with the prior if less than this share of them has the PSF's width.
_ENOUGH, _FEW_AGREE = 3, 0.1
#: The error is then this one, in errors of the prior: stars may be wider than the bound.
_DISAGREEING = 3.0
#: Of a PSF that was stretched instead of blurred, the flux is off by this share of the change:
#: stretched by 8 % and 30 %, by 0.2 to 0.35.
_SHAPE_ERROR = 0.3
#: Turns, as the change of a PSF with its width is linear for small changes only.
_TURNS = 4
#: Terms of the series in a blur's variance: of a quarter of the core's own, the next is 0.1 %.
_TERMS = 4
#: FWHM of a Gaussian over its standard deviation.
_FWHM_OF_SIGMA = 2.3548


@dataclass(frozen=True, eq=False)
class PriorWidth:
    """A prior of another width.

    Attributes
    ----------
    psf : SplinePsf
        The prior, blurred or sharpened; `SplinePsf.width_error_pix2` is what is not known of it.
    wider : float
        By how much its FWHM is larger, relative; negative: smaller.
    n_used : int
        Stars that have this width.
    n_stars : int
        Objects that were looked at.
    """

    psf: SplinePsf
    wider: float
    n_used: int
    n_stars: int

    @property
    def remark(self) -> str:
        """What is to be said of it."""
        if not self.n_stars:
            return f"prior PSF, its width known to {PRIOR_ERROR:.0%}"
        how = "wider" if self.wider >= 0 else "narrower"
        changed = f"prior PSF, {abs(self.wider):.1%} {how}"
        if _disagree(self.n_used, self.n_stars):
            return f"{changed}: only {self.n_used} of {self.n_stars} objects have this width"
        return f"{changed}: {self.n_used} of {self.n_stars} faint stars have this width"


def of_known_error(prior: SplinePsf) -> SplinePsf:
    """A prior with the error of its width: its own, or `PRIOR_ERROR` if it tells none."""
    return prior if prior.width_error_pix2 else replace(prior, width_error_pix2=_before(prior))


def prior_of_width(stamps: StarStamps, prior: SplinePsf) -> PriorWidth:
    """A prior with the width that stars have, and with the error of that.

    Parameters
    ----------
    stamps : StarStamps
        Stars with their places; be there none.
    prior : SplinePsf
        What is known before. Its width is to `PRIOR_ERROR`.
    """
    before = _before(prior)
    told = _Told(0.0, 1.0, 0, 0)
    for _ in range(_TURNS):
        wider, errors = _widths(stamps, blurred(prior, told.width * before))
        wider, errors = _of_stars(stamps.stars, told.width + wider / before, errors / before)
        told = _told(wider, errors)
    width, error = told.width * before, told.error * before
    error = math.hypot(error, _SHAPE_ERROR * width)
    psf = replace(blurred(prior, width), width_error_pix2=error)
    wider_fwhm = _fwhm_pix(psf) / _fwhm_pix(prior) - 1.0
    return PriorWidth(psf, wider_fwhm, told.n_used, told.n_stars)


def _before(prior: SplinePsf) -> float:
    """Error of a prior's half second moment, which goes with the square of the FWHM."""
    return PRIOR_ERROR * (_fwhm_pix(prior) / _FWHM_OF_SIGMA) ** 2


def blurred(psf: SplinePsf, half_moment_pix2: float) -> SplinePsf:
    """A PSF with so much more (or less) of half the second moment along each axis.

    The first terms of what a convolution with a Gaussian is.
    """
    coefficients, term = psf.coefficients, psf
    for order in range(1, _TERMS + 1):
        wider = widened(term).coefficients
        term = replace(term, coefficients=wider * half_moment_pix2 / order)
        coefficients = coefficients + term.coefficients
    return replace(psf, coefficients=coefficients)


def _fwhm_pix(psf: SplinePsf) -> float:
    """Mean full width at half maximum of the first cell."""
    radius = np.arange(0.0, psf.radius_pix, 0.02)
    angle = np.arange(0.0, 2 * math.pi, math.pi / 8)
    r, a = np.meshgrid(radius, angle)
    profile = psf.at(r * np.cos(a), r * np.sin(a)).mean(axis=0)
    beyond = int(np.argmax(profile < profile[0] / 2))
    between = slice(beyond - 1, beyond + 1)
    half = np.interp(-profile[0] / 2, -profile[between], radius[between])
    return float(2 * half)


def _widths(stamps: StarStamps, psf: SplinePsf) -> tuple[Floats, Floats]:
    """By how much each star is wider than a PSF (half the second moment), and its error.

    Places are those of all images together: fitted to each stamp they would follow its noise.
    """
    wider = widened(psf)
    widths, errors = np.zeros(len(stamps)), np.full(len(stamps), np.inf)
    side = stamps.values_e.shape[-1]
    offset = np.arange(side)
    for at in range(len(stamps)):
        dx, dy = np.meshgrid(
            stamps.x_first[at] + offset - stamps.x[at], stamps.y_first[at] + offset - stamps.y[at]
        )
        core = np.hypot(dx, dy) <= _CORE_PIX
        good = core & stamps.good[at] & (stamps.variance_e2[at] > 0)
        if good.sum() < max(_MIN_GOOD * core.sum(), 1):
            continue
        cell = psf.cell_of(stamps.x[at], stamps.y[at])
        columns = np.stack([each.at(dx[good], dy[good], cell=cell) for each in (psf, wider)])
        weighted = columns / stamps.variance_e2[at][good]
        normal = weighted @ columns.T
        if not normal[0, 0] > 0:
            continue
        covariance = np.linalg.inv(normal)
        flux, product = covariance @ (weighted @ stamps.values_e[at][good])
        if flux > 0:
            # A width from a flux that is too large by noise would be too small, and know it better.
            expected = max(float(stamps.flux_e[at]), 1.0)
            widths[at], errors[at] = product / expected, math.sqrt(covariance[1, 1]) / expected
    return widths, errors


def _of_stars(star: NDArray[np.int64], widths: Floats, errors: Floats) -> tuple[Floats, Floats]:
    """The mean width of each star over its stamps, and its error.

    Stamps of one star share what makes it another one than a point.
    """
    known = np.isfinite(errors)
    _, index = np.unique(star[known], return_inverse=True)
    weight = 1 / errors[known] ** 2
    total = np.bincount(index, weights=weight)
    mean = np.bincount(index, weights=weight * widths[known]) / total
    squares = np.bincount(index, weights=weight * (widths[known] - mean[index]) ** 2)
    scale = np.maximum(squares / np.maximum(np.bincount(index) - 1, 1), 1.0)
    return mean, np.sqrt(scale / total)


@dataclass(frozen=True)
class _Told:
    """What widths tell, in errors of the prior."""

    width: float
    error: float
    n_used: int
    n_stars: int


def _told(widths: Floats, errors: Floats) -> _Told:
    """The width of stars, of which the prior's is known before and objects' are measured."""
    n = len(widths)
    if not n:
        return _Told(0.0, 1.0, 0, 0)
    grid = np.arange(_NARROWEST, _WIDEST + _STEP / 2, _STEP)
    star, other = _densities(widths[:, None] - grid, errors[:, None])
    of_shares = [
        np.logaddexp(np.log1p(-share) + star, np.log(share) + other).sum(axis=0)
        for share in _SHARES_WIDE
    ]
    log_chance = logsumexp(of_shares, axis=0) - 0.5 * grid**2
    chance = np.exp(log_chance - log_chance.max())
    width = float(np.average(grid, weights=chance))
    error = math.sqrt(np.average((grid - width) ** 2, weights=chance))
    near = int(np.argmin(np.abs(grid - width)))
    used = star[:, near] > other[:, near]
    n_used = int(np.count_nonzero(used))
    # Stars that differ by more than noise know their mean less well.
    squares = float((((widths - width) / errors)[used] ** 2).sum())
    error *= math.sqrt(max(squares / max(n_used - 1, 1), 1.0))
    # The wider, the less it is of stars: nothing of it at the prior, all at two errors of it.
    error = math.hypot(error, max(width, 0.0) ** 2 / 2)
    if _disagree(n_used, n):
        error = max(error, _DISAGREEING)
    return _Told(width, error, n_used, n)


def _densities(apart: Floats, errors: Floats) -> tuple[Floats, Floats]:
    """Logarithms of densities of a width so far from that of stars, for a star and another object.

    The other's is an exponential tail beyond the width of stars, with the noise of a Gaussian.
    """
    spoilt = math.log(_SPOILT * _SPOILT_DENSITY)
    star = -0.5 * (apart / errors) ** 2 - np.log(errors * math.sqrt(2 * math.pi))
    beyond = errors / _TAIL
    tail = 0.5 * beyond**2 - apart / _TAIL - math.log(_TAIL) + log_ndtr(apart / errors - beyond)
    return star, np.logaddexp(tail, spoilt)


def _disagree(n_used: int, n_stars: int) -> bool:
    """Whether objects have not the width of the PSF."""
    return n_stars >= _ENOUGH and n_used < _FEW_AGREE * n_stars

"""Settings of photometry, and DOLPHOT's parameters under DOLPHOT's own names.

The limits are those of the program (version 2.0, `dolphotparam` in its source): there a value out
of range ends the run with exit status 0 and no catalogue, here it is refused when it is set. The
values are hst123's 1.1.0, so that its users find their catalogues again; DOLPHOT's manuals
(A. Dolphin, http://americano.dolphinsim.com) say when others are better.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from hst_assets.settings.fields import DetectorKey, NotNegative, Positive, Section, UserPath

__all__ = [
    "DolphotParameters",
    "DolphotSettings",
    "ImageParameters",
    "PhotometrySettings",
]

_BASE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,31}")

Flag = Annotated[int, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def _in_order(radii: tuple[float, float]) -> tuple[float, float]:
    if radii[1] <= radii[0]:
        raise ValueError("the outer radius must be larger than the inner one")
    return radii


Annulus = Annotated[tuple[Positive, Positive], AfterValidator(_in_order)]
SixTerms = tuple[Finite, Finite, Finite, Finite, Finite, Finite]


class PhotometrySettings(Section):
    """Whether stars are measured, and by what."""

    make: bool = False
    """Measure the stars of the target's exposures (``--run-dolphot``)."""
    photometer: Literal["auto", "dolphot", "embedded"] = "auto"
    """What measures the stars: DOLPHOT (dolphot), this project (embedded), or DOLPHOT where it is
    installed and this project elsewhere (auto).

    With `auto`, a catalogue by DOLPHOT that is up to date stays where DOLPHOT is missing.
    """
    artificial_stars: bool = False
    """Measure artificial stars as well, for completeness and errors (``--do-fake``)."""
    hdf5: bool = True
    """Write the catalogue as HDF5, too (not with ``--no-write-dolphot-hdf5``)."""


class ImageParameters(Section):
    """DOLPHOT's parameters of single images; what is unset comes from the table above it."""

    RAper: Positive | None = None
    """Radius of the aperture in which a star is measured, pixels."""
    RChi: Positive | None = None
    """Radius within which the fit of the position is judged, pixels."""
    RPSF: Count | None = None
    """Radius out to which a star's light is subtracted, pixels; at least RAper."""
    RSky: Annulus | None = None
    """Radii of the annulus in which the sky is measured where FitSky is 1, pixels."""
    RSky2: Annulus | None = None
    """Radii of the sky's annulus where FitSky is 2, pixels; DOLPHOT 3 only."""
    apsky: Annulus | None = None
    """Radii of the sky's annulus for aperture corrections, pixels."""
    aprad: Positive | None = None
    """Radius of aperture corrections, pixels; for HST the program has its own."""
    shift: tuple[Finite, Finite] | None = None
    """First guess of the image's offset from the reference, pixels; only used without UseWCS."""
    xform: tuple[Finite, Finite, Finite] | None = None
    """First guess of scale, distortion and rotation (degrees); only used without UseWCS."""
    PSFa: SixTerms | None = None
    """Analytic PSF, XX term: polynomial over the chip; not used for HST, whose PSFs are tables."""
    PSFb: SixTerms | None = None
    """Analytic PSF, YY term; as PSFa."""
    PSFc: SixTerms | None = None
    """Analytic PSF, XY term; as PSFa."""


class DolphotParameters(Section):
    """DOLPHOT's parameters for all images; unset ones have DOLPHOT's own defaults."""

    FitSky: Annotated[int, Field(ge=0, le=4)] = 2
    """How the sky under a star is measured: 0 from the sky image, 1 in an annulus before the fit, 2
    within the PSF, 3 and 4 with the star (3: a mean, 4: a plane)."""
    SkipSky: Count = 2
    """Spacing of the pixels in which the sky is measured, pixels."""
    SkySig: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.25
    """Clipping of the sky's pixels, standard deviations."""
    NegSky: Flag | None = 1
    """Whether the sky may be negative; DOLPHOT 3 only."""
    SecondPass: Annotated[int, Field(ge=0)] = 1
    """Number of further searches for stars on the residuals."""
    SigFind: Positive = 2.5
    """Signal-to-noise from which a star is searched; lowered to SigFinal if that is less."""
    SigFindMult: Positive = 0.85
    """Factor of SigFind in the quick photometry of the search."""
    SigFinal: Positive = 3.5
    """Signal-to-noise from which a star is written to the catalogue (``--dolphot-lim``)."""
    MaxIT: Count = 25
    """Maximum number of iterations of the photometry."""
    PSFPhot: Annotated[int, Field(ge=0, le=2)] | None = None
    """Kind of photometry: 0 aperture, 1 PSF, 2 PSF with weights of the centre; unset: DOLPHOT's
    (1)."""
    PSFPhotIt: Annotated[int, Field(ge=1, le=5)] | None = None
    """Iterations of each star's fit; unset: DOLPHOT's (1)."""
    NoiseMult: NotNegative = 0.10
    """Error of the PSF as a fraction of a star's light in a pixel."""
    FSat: Annotated[float, Field(gt=0, le=1)] = 0.999
    """Fraction of SATURATE from which a pixel counts as saturated."""
    RCentroid: Count = 2
    """Half the side of the box in which a star's centre is guessed, pixels."""
    PosStep: Positive = 0.25
    """Step of the search for a star's position, pixels."""
    dPosMax: Positive = 2.5  # noqa: N815 - DOLPHOT's name
    """Maximum shift of a star in one iteration, pixels."""
    RCombine: NotNegative = 1.5
    """Distance below which two stars are combined, pixels."""
    CombineChi: Flag | None = None
    """Whether chi decides which of two near stars is kept; DOLPHOT 3 only."""
    SearchMode: Flag | None = None
    """What positions maximise: 0 signal-to-noise over chi, 1 signal-to-noise; unset: DOLPHOT's
    (1)."""
    Force1: Flag = 1
    """Whether all objects are taken for stars: no types 3, 4 and 5."""
    SigPSF: NotNegative = 5.0
    """Minimum signal-to-noise of stars that adjust the PSF, and limit between type 1 and 2."""
    PSFres: Flag = 1
    """Whether the PSF is adjusted by the residuals of bright stars."""
    psfstars: UserPath | None = None
    """File with the positions of the stars that adjust the PSF and the aperture corrections."""
    psfoff: Finite | None = None
    """Offset of the positions in psfstars, pixels; unset: 0."""
    ApCor: Flag = 1
    """Whether aperture corrections are measured and applied."""
    UseWCS: Annotated[int, Field(ge=0, le=2)] = 1
    """What the first alignment takes from the WCS: 0 nothing, 1 shift, scale and rotation, 2 the
    distortion as well."""
    Align: Annotated[int, Field(ge=0, le=4)] = 2
    """Terms of the alignment: 0 none, 1 shift, 2 shift and scale, 3 cubic, 4 full cubic."""
    AlignIter: Count = 5
    """Number of iterations of the alignment."""
    AlignTol: NotNegative = 0.5
    """Radius of the coarse search for the alignment, pixels."""
    AlignStep: Positive = 4.0
    """Step of the coarse search for the alignment, pixels."""
    AlignOnly: Flag = 0
    """Whether the run ends after the alignment (``--align-only``); the catalogue is then empty."""
    Rotate: Flag = 1
    """Whether the alignment may rotate."""
    SubResRef: Count | None = None
    """Pixels of the search per pixel of the reference; unset: DOLPHOT's (1)."""
    ForceSameMag: Flag | None = None
    """Whether a star has the same count rate in all images of a filter; unset: DOLPHOT's (0)."""
    FlagMask: Annotated[int, Field(ge=0, le=7)] = 7
    """Quality flags whose images are left out of a filter's magnitude: the sum of 1 (edge), 2 (bad
    pixels) and 4 (saturated)."""
    ACSuseCTE: Flag = 0
    """Whether DOLPHOT corrects ACS for charge transfer; 0 for flc, which are corrected.

    Exposures of ACS/HRC are not: 1 for a target that has no others of ACS.
    """
    WFC3useCTE: Flag = 0
    """Whether DOLPHOT corrects WFC3 for charge transfer; 0 for flc, which are corrected."""
    WFPC2useCTE: Flag = 1
    """Whether DOLPHOT corrects WFPC2 for charge transfer."""
    UseCTE: Flag | None = None
    """The same of DOLPHOT 2, for all instruments at once; unset: 1 if it is 1 for all that it would
    correct, WFPC2 and ACS."""
    ACSpsfType: Flag | None = None
    """Whether PSF cores are Anderson's; unset: DOLPHOT's (0). Needs his libraries."""
    WFC3UVISpsfType: Flag | None = None
    """As ACSpsfType, for WFC3/UVIS."""
    WFC3IRpsfType: Flag | None = None
    """As ACSpsfType, for WFC3/IR."""
    InterpPSFlib: Flag | None = 1
    """Whether the PSF library is interpolated between its positions; DOLPHOT 3 only."""
    photsec: str = ""
    """Part of the reference that is measured: extension (0), chip (1), first and last X and Y;
    empty: all."""
    xytfile: UserPath | None = None
    """File of stars (extension, chip, X, Y, type) that are measured instead of those found."""
    xytpsf: UserPath | None = None
    """PSF of the reference (FITS) for the subtraction of it; only with xytfile."""
    FPSF: Literal["gauss", "lorentz", "lorentz2", "g+l"] | None = None
    """Analytic PSF; not used for HST, as all parameters down to Zero."""
    PSFsol: Annotated[int, Field(ge=-1, le=2)] | None = None
    """Terms of the analytic PSF: -1 none, 0 constant, 1 linear, 2 quadratic."""
    PSFStep: NotNegative | None = None
    """Step of the solution for the analytic PSF, pixels."""
    EPSF: Flag | None = None
    """Whether the analytic PSF may be elliptical; with 0, PSFsol must be -1 (DOLPHOT 2 hangs)."""
    SubPixel: Count | None = None
    """Pixels of the analytic PSF per pixel."""
    MinS: NotNegative | None = None
    """Minimum FWHM of a star, pixels."""
    MaxS: NotNegative | None = None
    """Maximum FWHM of a star, pixels."""
    MaxE: Annotated[float, Field(ge=0, le=1)] | None = None
    """Maximum ellipticity of a star."""
    Zero: Finite | None = None
    """Magnitude of one count a second; for HST the program has its own."""
    DiagPlotType: Literal["PNG", "GIF", "PS"] | None = "PNG"
    """Format of diagnostic plots; only where DOLPHOT was built with PGPLOT."""
    VerboseData: Flag = 1
    """Whether the figures of alignment, PSF and aperture corrections are written (.data)."""
    FakeMatch: Positive = 3.0
    """Maximum distance of an artificial star from its place, pixels."""
    FakePSF: Positive = 2.0
    """FWHM that is assumed in matching artificial stars, pixels."""
    FakeStarPSF: Flag = 1
    """Whether artificial stars have the adjusted PSF."""
    RandomFake: Flag | None = None
    """Whether artificial stars have photon noise; unset: DOLPHOT's (1)."""
    FakePad: int = 0
    """Minimum distance of artificial stars from a chip's edge, pixels."""

    @field_validator("photsec")
    @classmethod
    def _a_section(cls, value: str) -> str:
        words = value.split()
        if words and (len(words) != 6 or not all(word.isdigit() for word in words)):
            raise ValueError("six integers: extension, chip, first X and Y, last X and Y")
        return " ".join(words)

    @field_validator("DiagPlotType", mode="before")
    @classmethod
    def _capitals(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("FPSF", mode="before")
    @classmethod
    def _small(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _ends(self) -> Self:
        # Measured: DOLPHOT 2.0 then never ends (over ten minutes on an image of 300x300).
        if self.EPSF == 0 and self.PSFsol != -1:
            raise ValueError("EPSF = 0 needs PSFsol = -1: DOLPHOT hangs in the solution otherwise")
        if self.xytpsf is not None and self.xytfile is None:
            raise ValueError("xytpsf needs xytfile")
        if self.MinS is not None and self.MaxS is not None and self.MaxS < self.MinS:
            raise ValueError("MaxS must be at least MinS")
        return self


class DolphotSettings(DolphotParameters):
    """How DOLPHOT is run: its parameters, and where it is."""

    base: str = "dp"
    """Name with which the files of a run begin, followed by its number: ``dp0000``."""
    program: UserPath | None = None
    """DOLPHOT's executable; unset: ``dolphot`` on the PATH.

    A relative path starts at the work directory.
    """
    root: UserPath | None = None
    """Folder that DOLPHOT was built in, with its PSF libraries (``acs/data``, ``wfc3/data``).

    Unset: what the executable names, or the folder above its own. The files decide the recipe of a
    catalogue.
    """
    parameters_file: UserPath | None = None
    """File of DOLPHOT parameters (``NAME = value``), below what is set here.

    ``img_NAME`` holds for all images. Names are checked; images have names of their own here, not
    numbers. A relative path starts at the work directory.
    """
    detectors: dict[Literal["all"] | DetectorKey, ImageParameters] = Field(default={})
    """Parameters of images by detector, or of all, in tables such as
    ``[dolphot.detectors.wfc3_uvis]``; they replace the registry's."""
    images: dict[str, ImageParameters] = Field(default={})
    """The same for single images: a rootname, a rootname with its chip (``"iabc01a1q.chip1"``), or
    ``reference``."""

    @field_validator("base")
    @classmethod
    def _short(cls, value: str) -> str:
        if not _BASE_NAME.fullmatch(value):
            # DOLPHOT writes names into 82 characters without counting them.
            raise ValueError("at most 32 letters, digits, '_', '+' and '-'")
        return value

    def as_recipe(self) -> dict[str, Any]:
        """DOLPHOT's parameters as they are set; where the program lies changes no catalogue."""
        left_out = {"base", "program", "root", "parameters_file"}
        return self.model_dump(mode="json", exclude=left_out)

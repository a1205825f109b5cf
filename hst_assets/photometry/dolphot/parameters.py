"""The parameter file of a run: which images, and what each and all of them are measured with.

What holds for an image is put together in this order, later ones winning: the registry's row of
its detector (`IMAGE_PARAMETERS`), ``[dolphot.detectors.all]``, the detector's own table, the
exposure's table in ``[dolphot.images]`` and that of its chip.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hst_assets.failures import BadConfiguration
from hst_assets.photometry.dolphot.input_images import InputImage
from hst_assets.settings import DolphotParameters, DolphotSettings, ImageParameters

__all__ = [
    "HEAD",
    "IMAGE_PARAMETERS",
    "IN_DOLPHOT_3",
    "OF_ARTIFICIAL_STARS",
    "USERS_FILES",
    "image_parameters",
    "parameter_lines",
    "parameters_text",
    "settings_of_catalog",
    "transfer_remarks",
]

#: First line of a file that this project wrote.
HEAD = "# written by hst_assets"

_OPTICAL = ImageParameters(RAper=3, RChi=2.0, RPSF=13, RSky=(15, 35), RSky2=(4, 10), apsky=(15, 25))
_ACS = ImageParameters(RAper=2, RChi=1.5, RPSF=10, RSky=(15, 35), RSky2=(3, 6), apsky=(15, 25))

#: By detector, for FitSky = 2: the values of hst123 1.1.0, so that its users find their catalogues
#: again.
IMAGE_PARAMETERS: Mapping[str, ImageParameters] = {
    "acs_wfc": _ACS,
    "acs_hrc": _ACS,
    "wfc3_uvis": _OPTICAL,
    "wfc3_ir": ImageParameters(
        RAper=2, RChi=1.5, RPSF=15, RSky=(8, 20), RSky2=(3, 10), apsky=(8, 20)
    ),
    "wfpc2": _OPTICAL,
}

#: Names that DOLPHOT 2 does not know, and says so.
IN_DOLPHOT_3 = frozenset(
    {
        "ACSuseCTE",
        "CombineChi",
        "InterpPSFlib",
        "NegSky",
        "RSky2",
        "WFC3useCTE",
        "WFPC2useCTE",
    }
)
#: Of artificial stars alone: not in a catalogue's file, and no reason to make one again.
OF_ARTIFICIAL_STARS = ("FakeMatch", "FakePSF", "FakeStarPSF", "RandomFake", "FakePad")
#: Parameters that name a file of the user's, and what it is called in the run.
USERS_FILES: Mapping[str, str] = {
    "psfstars": "psfstars.txt",
    "xytfile": "stars.xyt",
    "xytpsf": "stars.psf.fits",
}
#: The parameter of DOLPHOT 3 that says whether an instrument is corrected for charge transfer.
_CTE = {"ACS": "ACSuseCTE", "WFC3": "WFC3useCTE", "WFPC2": "WFPC2useCTE"}


def image_parameters(image: InputImage, settings: DolphotSettings) -> ImageParameters:
    """What holds for one image.

    Raises
    ------
    BadConfiguration
        If RPSF is less than RAper: the program refuses it, and exits with status 0.
    """
    tables = (
        IMAGE_PARAMETERS[image.detector.key],
        settings.detectors.get("all"),
        settings.detectors.get(image.detector.key),
        settings.images.get(image.exposure) if image.role == "exposure" else None,
        settings.images.get(image.label),
    )
    merged: dict[str, Any] = {}
    for table in tables:
        merged |= table.model_dump(exclude_none=True) if table else {}
    chosen = ImageParameters.model_validate(merged)
    if chosen.RPSF is not None and chosen.RAper is not None and chosen.RAper > chosen.RPSF:
        raise BadConfiguration(
            f"RPSF ({chosen.RPSF}) must be at least RAper ({chosen.RAper:g})",
            where=f"dolphot, {image.label}",
            next_step="Set both in [dolphot.detectors.KEY] or in the image's own table",
        )
    return chosen


def parameter_lines(
    images: Sequence[InputImage], settings: DolphotSettings
) -> list[tuple[str, str]]:
    """Names and values of the parameter file, in hst123's order.

    Parameters
    ----------
    images : sequence of InputImage
        The reference first: it is image 0, which DOLPHOT does not count.
    settings : DolphotSettings
        The user's choices.

    Raises
    ------
    BadConfiguration
        If a table of ``dolphot.images`` is of no image of the run.
    """
    _refuse_strangers(images, settings)
    lines = [("Nimg", str(len(images) - 1))]
    for number, image in enumerate(images):
        lines.append((f"img{number:04d}_file", image.alias))
        own = image_parameters(image, settings).model_dump(exclude_none=True)
        lines += [(f"img{number:04d}_{name}", _text(value)) for name, value in own.items()]
    return [*lines, *_of_the_run(images, settings)]


def parameters_text(lines: Sequence[tuple[str, str]]) -> str:
    """The parameter file; without empty lines, which DOLPHOT takes for a mistake."""
    return "".join(f"{line}\n" for line in (HEAD, *(f"{name} = {value}" for name, value in lines)))


def settings_of_catalog(settings: DolphotSettings) -> dict[str, Any]:
    """The settings that decide a catalogue, as JSON."""
    return {
        name: value
        for name, value in settings.as_recipe().items()
        if name not in OF_ARTIFICIAL_STARS
    }


def _of_the_run(
    images: Sequence[InputImage], settings: DolphotSettings
) -> Iterator[tuple[str, str]]:
    chosen: dict[str, Any] = settings.model_dump(include=set(DolphotParameters.model_fields))
    # A search above the final limit would leave out stars that are asked for.
    chosen["SigFind"] = min(settings.SigFind, settings.SigFinal)
    chosen["UseCTE"] = _use_cte(images, settings)
    for name, value in chosen.items():
        if value is None or value == "" or name in OF_ARTIFICIAL_STARS:
            continue
        yield name, USERS_FILES.get(name) or _text(value)


def _use_cte(images: Sequence[InputImage], settings: DolphotSettings) -> int:
    """Whether DOLPHOT 2 corrects for charge transfer: 1 if all that it would correct is to be.

    Its correction of WFC3 is 0 (its sources, version 2.0): WFC3 does not decide beside others.
    """
    if settings.UseCTE is not None:
        return settings.UseCTE
    wanted = _cte_wanted(images, settings)
    decisive = {name: value for name, value in wanted.items() if name != "WFC3"} or wanted
    return int(all(decisive.values()))


def _cte_wanted(images: Sequence[InputImage], settings: DolphotSettings) -> dict[str, int]:
    """By instrument, whether it is to be corrected."""
    instruments = sorted({each.detector.instrument for each in images if each.role == "exposure"})
    return {instrument: getattr(settings, _CTE[instrument]) for instrument in instruments}


def transfer_remarks(images: Sequence[InputImage], settings: DolphotSettings) -> tuple[str, ...]:
    """Which instruments DOLPHOT 2 corrects for charge transfer against the settings, or not.

    It has one parameter for all of them. Magnitudes of the others are off by up to some tenths for
    faint stars far from the amplifier.
    """
    used = _use_cte(images, settings)
    return tuple(
        f"{instrument} is {'' if used else 'not '}corrected for charge transfer, though "
        f"{_CTE[instrument]} is {wanted}: DOLPHOT 2 corrects all instruments or none"
        for instrument, wanted in _cte_wanted(images, settings).items()
        if wanted != used and instrument != "WFC3"
    )


def _refuse_strangers(images: Sequence[InputImage], settings: DolphotSettings) -> None:
    known = {"reference"}
    for image in images:
        known |= {image.label, image.exposure} if image.role == "exposure" else set()
    strange = sorted(set(settings.images) - known)
    if strange:
        near = difflib.get_close_matches(strange[0], sorted(known), n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise BadConfiguration(
            f"no image of the run is called {', '.join(strange)}{meant}",
            where="dolphot.images",
            next_step="Images are called reference, ROOTNAME or ROOTNAME.chipN; see "
            "dolphot/inputs.ecsv",
        )


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(_text(each) for each in value)
    return f"{value:.10g}" if isinstance(value, float) else str(value)

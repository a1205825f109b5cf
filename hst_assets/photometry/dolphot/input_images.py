"""The images of a run of DOLPHOT, as the table of inputs lists them, and what they must be.

DOLPHOT itself runs on truncated files, on pixels that are not finite and without a sky image, with
exit status 0 and a catalogue that looks like any other; so all of that is looked at before.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from hst_assets.detectors import Detector, detector_for
from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.products.columns import read_table
from hst_assets.workdir import WorkDir

__all__ = ["InputImage", "Mode", "check_images", "read_input_images"]

#: How the program takes an image: by its cards those of an HST instrument, or any camera's.
Mode = Literal["hst", "generic"]

_REMAKE = "Materialize dolphot_inputs again"
#: Cards that DOLPHOT replaces by figures of its own where they are missing, without a word.
_NUMBERS = ("GAIN", "EXPTIME", "RDNOISE", "BADPIX", "SATURATE")
#: Cards by which the program knows an HST instrument (see its masking tools).
_TAGS = ("DOL_ACS", "DOL_WFC3", "DOLWFPC2")
#: The projections that DOLPHOT 2.0 reads.
_PROJECTIONS = {"CTYPE1": ("RA---TAN", "RA---TAN-SIP"), "CTYPE2": ("DEC--TAN", "DEC--TAN-SIP")}
_MATRIX = ("CD1_1", "CD1_2", "CD2_1", "CD2_2")
_WITHOUT_WCS = "With dolphot.UseWCS = 0, images are aligned from their shift and xform"
#: DOLPHOT writes names of files into 82 characters; ``.sky.fits`` and ``.99.res.fits`` follow.
_LONGEST_NAME = 60
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


@dataclass(frozen=True)
class InputImage:
    """One image of a run: the reference, or one chip of an exposure.

    Attributes
    ----------
    role : {"reference", "exposure"}
        The reference gives the frame of the catalogue; its stars are not measured.
    exposure : str
        Rootname; of the reference, its name.
    chip : int
        As split: 1 is the first SCI, 0 an image that was not split.
    path, sky_path : `~pathlib.Path`
        The image and the sky under its stars.
    detector : Detector
        The registry's row; of a reference that is no known detector's, the first exposure's.
    filter : str
        Name of the filter.
    """

    role: Literal["reference", "exposure"]
    exposure: str
    chip: int
    path: Path
    sky_path: Path
    detector: Detector
    filter: str

    @property
    def label(self) -> str:
        """How settings and messages call it."""
        return "reference" if self.role == "reference" else f"{self.exposure}.chip{self.chip}"

    @property
    def alias(self) -> str:
        """Its name in the run, without ``.fits``: its file's, unless that is too long or odd."""
        name = self.path.name.removesuffix(".fits")
        fits_in = len(name) <= _LONGEST_NAME and _PLAIN.fullmatch(name)
        return name if fits_in else f"{self.label}.chip{self.chip}"[:_LONGEST_NAME]


def read_input_images(workdir: WorkDir) -> list[InputImage]:
    """The images that a run uses, the reference first, exposures in the table's order.

    Parameters
    ----------
    workdir : WorkDir
        Its table ``dolphot/inputs.ecsv`` must exist.

    Raises
    ------
    MissingProduct
        If the table is not there or cannot be read.
    UnusableInput
        If there is not one reference, or no exposure is used.
    """
    table = read_table(workdir.dolphot_inputs)
    used = [row for row in table if bool(row["used"])]
    exposures = [_image(row, workdir) for row in used if str(row["role"]) == "exposure"]
    references = [
        _image(row, workdir, otherwise=exposures[0].detector)
        for row in used
        if exposures and str(row["role"]) == "reference"
    ]
    if len(references) != 1 or not exposures:
        what = (
            "no chip of an exposure is used"
            if not exposures
            else f"there must be one reference, not {len(references)}"
        )
        raise UnusableInput(
            what,
            where=workdir.dolphot_inputs,
            next_step="Its column reason says why an image is left out",
        )
    names = [image.alias for image in (*references, *exposures)]
    if len(set(names)) != len(names):
        double = sorted({name for name in names if names.count(name) > 1})
        raise UnusableInput(
            f"two images of a run have one name: {', '.join(double)}", where=workdir.dolphot_inputs
        )
    return [*references, *exposures]


def _image(row: Any, workdir: WorkDir, *, otherwise: Detector | None = None) -> InputImage:
    try:
        detector = detector_for(str(row["instrument"]), str(row["detector"]))
    except UnusableInput:
        if otherwise is None:
            raise
        detector = otherwise
    return InputImage(
        role="reference" if str(row["role"]) == "reference" else "exposure",
        exposure=str(row["exposure"]),
        chip=int(row["chip"]),
        path=workdir.dolphot / str(row["file"]),
        sky_path=workdir.dolphot / str(row["sky_file"]),
        detector=detector,
        filter=str(row["filter"]),
    )


def check_images(images: Sequence[InputImage], *, with_wcs: bool) -> Mode:
    """Look at all files of a run before it begins; return how the program takes them.

    Parameters
    ----------
    images : sequence of InputImage
        The reference and the chips.
    with_wcs : bool
        Whether the alignment begins with the WCS (UseWCS), which DOLPHOT reads in two projections.

    Raises
    ------
    MissingProduct
        If a file is not there.
    UnusableInput
        If a file is not FITS, ends early, has no plane, or one of another shape than its sky;
        if pixels are not finite or none is within the limits of good data; if a card is missing
        or makes no sense; if some images are of HST by their cards and others are not.
    """
    tagged = {image.alias: _check(image, with_wcs=with_wcs) for image in images}
    if len(set(tagged.values())) > 1:
        plain = [name for name, is_tagged in tagged.items() if not is_tagged]
        raise UnusableInput(
            f"not prepared for DOLPHOT ({' or '.join(_TAGS)} is missing), other images are",
            where=", ".join(plain),
            next_step=_REMAKE,
        )
    return "hst" if all(tagged.values()) else "generic"


def _check(image: InputImage, *, with_wcs: bool) -> bool:
    """Whether a sound image has the card of an HST instrument."""
    header, plane = _read(image.path)
    _, sky = _read(image.sky_path)
    if sky.shape != plane.shape:
        raise UnusableInput(
            f"the sky has {_shape(sky)} pixels, the image {_shape(plane)}",
            where=image.sky_path,
            next_step=_REMAKE,
        )
    _check_numbers(header, image.path)
    if with_wcs:
        _check_projection(header, image.path)
    for path, values in ((image.path, plane), (image.sky_path, sky)):
        n_strange = values.size - int(np.isfinite(values).sum())
        if n_strange:
            raise UnusableInput(f"{n_strange} pixels are not finite", where=path, next_step=_REMAKE)
    if not ((plane > header["BADPIX"]) & (plane < header["SATURATE"])).any():
        raise UnusableInput("no pixel is between BADPIX and SATURATE", where=image.path)
    return any(tag in header for tag in _TAGS)


def _read(path: Path) -> tuple[fits.Header, NDArray[Any]]:
    """The header and the plane of a file with one image."""
    if not path.is_file():
        raise MissingProduct("the file is missing", where=path, next_step=_REMAKE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # astropy only warns of a file that ends early
        try:
            with path.open("rb") as handle, fits.open(handle, memmap=False) as hdus:
                header, data = hdus[0].header.copy(), hdus[0].data
                header.values()
        except (OSError, ValueError, TypeError, Warning, fits.VerifyError) as error:
            raise UnusableInput(
                f"the image cannot be read: {error}", where=path, next_step=_REMAKE
            ) from error
    if data is None or data.ndim != 2 or not data.size:
        raise UnusableInput("the first HDU holds no image plane", where=path, next_step=_REMAKE)
    return header, data


def _check_numbers(header: fits.Header, path: Path) -> None:
    missing = [name for name in _NUMBERS if not isinstance(header.get(name), int | float)]
    if missing:
        raise UnusableInput(
            f"no number in {', '.join(missing)}: DOLPHOT would take one of its own",
            where=path,
            next_step=_REMAKE,
        )
    senseless = [name for name in ("GAIN", "EXPTIME") if not header[name] > 0]
    senseless += ["RDNOISE"] if not header["RDNOISE"] >= 0 else []
    senseless += ["BADPIX, SATURATE"] if not header["BADPIX"] < header["SATURATE"] else []
    if senseless:
        raise UnusableInput(
            f"values without sense in {', '.join(senseless)}", where=path, next_step=_REMAKE
        )


def _check_projection(header: fits.Header, path: Path) -> None:
    for card, known in _PROJECTIONS.items():
        if header.get(card) not in known:
            raise UnusableInput(
                f"{card} is {header.get(card)!r}: DOLPHOT reads {' and '.join(known)}",
                where=path,
                next_step=_WITHOUT_WCS,
            )
    cd = [float(header.get(card, 0.0)) for card in _MATRIX]
    if cd[0] * cd[3] == cd[1] * cd[2]:
        raise UnusableInput(
            f"no matrix {', '.join(_MATRIX)}: DOLPHOT reads no other", where=path, next_step=_REMAKE
        )


def _shape(plane: NDArray[Any]) -> str:
    return "x".join(str(side) for side in reversed(plane.shape))

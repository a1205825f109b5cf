"""What a light curve says of images whose lost charge (CTE) is not corrected."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import astropy.units as u

from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.photometry.dolphot.input_images import InputImage, read_input_images
from hst_assets.photometry.dolphot.parameters import transfer_remarks
from hst_assets.photometry.psf.catalog_run import STAGE as EMBEDDED
from hst_assets.photometry.psf.lost_charge import (
    ChargeTransfer,
    charge_transfer,
    transfer_warnings,
)
from hst_assets.products.columns import read_table
from hst_assets.provenance import Record, read_record
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["charge_notes"]


def charge_notes(workdir: WorkDir, settings: Settings, *, has_differences: bool) -> tuple[str, ...]:
    """Which images are not corrected for lost charge, by the methods that measure on them.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    settings : Settings
        Sections dolphot (the name of the catalogue, and what DOLPHOT corrects) and embedded.
    has_differences : bool
        Whether something was measured on differences, of which no formula corrects the stars.

    Returns
    -------
    tuple of str
        One for each detector and reason; that it was not checked, where the images cannot be read.
    """
    try:
        images = [one for one in read_input_images(workdir) if one.role == "exposure"]
        middle = _middle_mjd(workdir)
        without_time = [one for one in images if _lacks_time(one, middle)]
        transfers = [
            charge_transfer(
                one,
                middle.get(one.exposure, math.nan),
                wfpc2_cte=settings.embedded.wfpc2_cte,
            )
            for one in images
            if one not in without_time
        ]
    except (MissingProduct, UnusableInput, OSError) as error:
        told = getattr(error, "brief", str(error))
        return (f"whether lost charge is corrected: not checked: {told}",)
    record = read_record(workdir.dolphot_catalog(settings.dolphot.base))
    notes = _notes(transfers, images, record, settings, has_differences=has_differences)
    return (*notes, *_not_checked([one.label for one in without_time]))


def _middle_mjd(workdir: WorkDir) -> dict[str, float]:
    """Times of the exposures by rootname: the loss grows with time."""
    return {
        str(row["rootname"]): float(row["mjd_mid"].to_value(u.day))
        for row in read_table(workdir.target_exposures)
    }


def _lacks_time(image: InputImage, middle: Mapping[str, float]) -> bool:
    """Whether the time is missing by which alone WFPC2's loss is judged; others have a header."""
    return image.detector.key == "wfpc2" and not math.isfinite(middle.get(image.exposure, math.nan))


def _not_checked(names: Sequence[str]) -> Iterator[str]:
    if names:
        what = f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"
        yield (
            f"whether lost charge is corrected: not checked: {what} not in the table of exposures, "
            "or without a time there"
        )


def _notes(
    transfers: Sequence[ChargeTransfer],
    images: Sequence[InputImage],
    record: Record | None,
    settings: Settings,
    *,
    has_differences: bool,
) -> Iterator[str]:
    by_dolphot = record is not None and record.recipe.get("stage") != EMBEDDED
    methods = "forced" if by_dolphot else "catalog and forced"
    for text in transfer_warnings(transfers):
        yield f"{methods}: {text}"
    if by_dolphot and record is not None:
        remarks = record.facts.get("remarks", [])
        for text in transfer_remarks(images, settings.dolphot):
            if text in remarks:  # DOLPHOT 3 corrects each instrument as it is told
                yield f"catalog: {text}"
    by_formula = [one.image for one in transfers if one.state == "by formula"]
    if has_differences and by_formula:
        yield (
            f"difference: wfpc2: lost charge not corrected on {len(by_formula)} of "
            f"{len(transfers)} images ({', '.join(by_formula)}): the formula is for stars on "
            "exposures; compare with the forced fluxes"
        )

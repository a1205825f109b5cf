"""Copies of exposures that AstroDrizzle can read and may write to.

Only child processes import this; the current directory is the call's own scratch folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from stsci.tools import fileutil  # type: ignore[import-untyped]

from hst_assets.detectors import Detector
from hst_assets.exposures.alternate_wcs import drop_alternates
from hst_assets.exposures.dq_files import quality_file
from hst_assets.exposures.keywords import is_missing
from hst_assets.exposures.keywords import number as number_of
from hst_assets.exposures.planes import repair_planes
from hst_assets.exposures.quadrants import columns_behind, is_quad
from hst_assets.exposures.units import unit_fault
from hst_assets.failures import UnusableInput
from hst_assets.imaging.astrodrizzle import cards as product_cards
from hst_assets.imaging.astrodrizzle.flux_scale import FluxScale
from hst_assets.imaging.astrodrizzle.input_headers import read_input
from hst_assets.imaging.cosmic_rays import science_and_quality
from hst_assets.imaging.forked import in_children
from hst_assets.imaging.frames import opened
from hst_assets.settings import DrizzleSettings

__all__ = ["good_pixels", "scratch_copies"]

#: DQ bit set on the scratch copy where SCI is not finite: "bad detector pixel" on every detector,
#: among no detector's good bits.
_BAD_PIXEL = 4
_NO_FLAT = "no_flat.fits"
#: Extensions that AstroDrizzle reads. Headerlets and WCS histories cost a scan at each of the
#: hundreds of times it opens a file.
_NEEDED = {"PRIMARY", "SCI", "DQ", "WCSDVARR", "D2IMARR"}
#: Errors for ERR; times of the infrared detector's pixels for IVM.
_NEEDED_BY_WEIGHTS = {"ERR", "TIME"}
#: A sky of the archive's own drizzling is taken for this run's where that measures none; with
#: MTFLAG exposures are laid on each other as they followed a moving target, whatever their WCS.
_MISLEADING = ("MDRIZSKY", "MTFLAG")


def scratch_copies(
    exposures: Sequence[str],
    companions: Sequence[str],
    detector: Detector,
    settings: DrizzleSettings,
    scale: FluxScale,
    cores: int,
) -> list[Path]:
    """Copies in the current directory, with only what AstroDrizzle needs and can handle.

    Parameters
    ----------
    exposures, companions : sequence of str
        Absolute paths; companions are the DQ files of WFPC2.
    detector : Detector
        Of all of them.
    settings : DrizzleSettings
        Has the type of the weights, which decides what is needed.
    scale : FluxScale
        What the chips are multiplied by.
    cores : int
        Processes at a time.

    Returns
    -------
    list of `~pathlib.Path`
        Names in the current directory, without the companions.

    Raises
    ------
    UnusableInput
        If an exposure has no good pixel, planes that do not match, or no flat field where one is
        needed.
    """
    companion = {Path(path).name: Path(path) for path in companions}
    pairs = [(source, companion.get(quality_file(source).name)) for source in map(Path, exposures)]
    copy = partial(_scratch_copy, detector=detector, settings=settings, scale=scale)
    in_children([partial(copy, source, quality) for source, quality in pairs], cores)
    return [Path(source.name) for source, _ in pairs]


def _scratch_copy(
    source: Path,
    quality: Path | None,
    *,
    detector: Detector,
    settings: DrizzleSettings,
    scale: FluxScale,
) -> None:
    """Copy an exposure, with its DQ file if that is another one."""
    needed = _NEEDED if settings.weight_type == "EXP" else _NEEDED | _NEEDED_BY_WEIGHTS
    with opened(source) as hdus, opened(quality or source) as quality_hdus:
        kept = fits.HDUList([hdu.copy() for hdu in hdus if hdu.name in needed])
        planes = kept
        if quality is not None:
            planes = fits.HDUList([hdu.copy() for hdu in quality_hdus])
        repair_planes(kept, planes)
        read_input(source)  # no tool says what is wrong with its times
        _prepare_headers(kept, detector, source)
        if settings.weight_type == "IVM":
            _resolve_flat(kept[0].header, detector, source)
        scale.apply(kept, source.name)
        if is_quad(kept[0].header):
            _keep_quadrant(kept, source)
        _mask_not_finite(kept, planes, detector, source)
        kept.writeto(source.name, output_verify="silentfix")
        if quality is not None:
            planes.writeto(quality.name, output_verify="silentfix")


def _prepare_headers(hdus: fits.HDUList, detector: Detector, source: Path) -> None:
    """Fill in what AstroDrizzle guesses wrongly or asks for; drop what it only carries along.

    It asks on the terminal what to do where DGEOFILE stands without NPOLFILE, and takes counts
    for counts per second where WFPC2 files have no BUNIT; without IDCSCALE it fails, and with
    another one it scales the fluxes. What it would be misled by is dropped (`_MISLEADING`).
    Alternate WCSs and the history of the calibration take half of its time and reach no product.
    """
    for keyword in ("NPOLFILE", "D2IMFILE"):
        if is_missing(hdus[0].header.get(keyword)):
            hdus[0].header[keyword] = "N/A"
    for hdu in hdus:
        if hdu.name == "SCI":
            if fault := unit_fault(hdu.header, detector):
                raise UnusableInput(
                    fault,
                    where=source,
                    next_step="Use the archive's calibrated file, or leave the exposure out",
                )
            hdu.header["BUNIT"] = detector.science_units
        if hdu.name == "SCI" and not number_of(hdu.header, "IDCSCALE", 0.0) > 0:
            hdu.header["IDCSCALE"] = detector.flat_scale_arcsec(hdu.header)
        if hdu.name in {"PRIMARY", "SCI", "DQ"}:
            for keyword in _MISLEADING:
                hdu.header.remove(keyword, ignore_missing=True, remove_all=True)
            _drop_ballast(hdu.header)


def _resolve_flat(primary: fits.Header, detector: Detector, source: Path) -> None:
    """Name a flat field that AstroDrizzle can open or, but for WFPC2, do without.

    It builds inverse-variance weights from the flat field, takes one whose file is missing as
    uniform, and fails where the name holds an undefined variable (``iref$``) or is none.
    """
    keyword = "FLATFILE" if detector.instrument == "WFPC2" else "PFLTFILE"
    name = str(primary.get(keyword, "")).strip()
    try:
        found = Path(fileutil.osfn(name)).is_file()
    except ValueError:
        found = False
    if found:
        return
    if detector.instrument == "WFPC2":
        raise UnusableInput(
            f"inverse-variance weights need its flat field ({name or 'not named'})",
            where=source,
            next_step="Define the folder of reference files (uref) in the environment, or set "
            "drizzle.weight_type = 'EXP'",
        )
    primary[keyword] = _NO_FLAT


def _drop_ballast(header: fits.Header) -> None:
    for key in ("HISTORY", "COMMENT", "", "CHECKSUM", "DATASUM"):
        header.remove(key, ignore_missing=True, remove_all=True)
    drop_alternates(header)


def _keep_quadrant(hdus: fits.HDUList, source: Path) -> None:
    """Leave of an exposure through a quad filter what lies behind this one of the four.

    The chip without any of it goes; what remains of the other is numbered from 1, as tools expect.
    """
    primary = hdus[0].header
    behind = {
        hdu.ver: columns_behind(primary, hdu.header, hdu.data.shape[1])
        for hdu in hdus
        if hdu.name == "SCI" and hdu.data is not None
    }
    chips = [extver for extver, (first, end) in behind.items() if end > first]
    if not chips:
        raise UnusableInput(f"no pixel was read behind {primary['FILTER']}", where=source)
    for hdu in [hdu for hdu in hdus if hdu.name in {"SCI", "ERR", "DQ"}]:
        if hdu.ver not in chips:
            hdus.remove(hdu)
            continue
        if hdu.name == "DQ" and hdu.data is not None:
            first, end = behind[hdu.ver]
            hdu.data[:, :first] |= _BAD_PIXEL
            hdu.data[:, end:] |= _BAD_PIXEL
        hdu.header[product_cards.RAW_EXTVER] = hdu.ver
        hdu.ver = chips.index(hdu.ver) + 1


def _mask_not_finite(
    hdus: fits.HDUList, quality: fits.HDUList, detector: Detector, source: Path
) -> None:
    """Flag pixels that are not finite as bad; refuse an exposure without a good pixel."""
    n_good = n_chips = 0
    for sci, dq in science_and_quality(hdus, quality, where=source):
        if sci.data is None or dq.data is None or sci.data.shape != dq.data.shape:
            raise UnusableInput(f"SCI,{sci.ver} and its DQ do not match", where=source)
        n_chips += 1
        missing = ~np.isfinite(sci.data)
        if missing.any():
            sci.data[missing] = 0.0
            dq.data[missing] |= _BAD_PIXEL
        n_good += int(np.count_nonzero(good_pixels(dq.data, detector)))
    if not n_chips:
        raise UnusableInput("no SCI extension", where=source)
    if n_good == 0:
        raise UnusableInput(
            "it has no good pixel: all are flagged or not finite",
            where=source,
            next_step="Leave the exposure out with a line in overrides.ecsv",
        )


def good_pixels(dq: NDArray[np.integer], detector: Detector) -> NDArray[np.bool_]:
    """Pixels without a flag, but for those that are drizzled all the same."""
    good: NDArray[np.bool_] = (dq & ~np.int64(detector.drizzle_good_bits)) == 0
    return good

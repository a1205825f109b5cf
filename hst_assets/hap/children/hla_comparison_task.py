"""The child's side of `hst_assets.hap.quality.hla_comparison`: source lists are compared.

drizzlepac (3.11) asks the HLA's web service for a list's positions in HAP's frame, and where that
does not answer leaves them on the pixels of the HLA's image. Here they are computed from the list's
own positions on the sky, so that pixels are HAP's for both; what the service would add, the shift
of the whole image that was found later (Budavari & Lubow 2012), shows as a difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from hst_assets.hap.children import upstream_defects
from hst_assets.machine.failures import machine_failure

upstream_defects.apply_at_import()
upstream_defects.mend_comparison()

from drizzlepac.haputils import compare_sourcelists, comparison_utils  # noqa: E402 - see above

__all__ = ["compare"]

#: All flags count: drizzlepac compares sources whatever their flags (`svm_quality_analysis`).
_ALL_FLAGS = 255
#: Columns of pixels, which are to come first: that is how drizzlepac finds them.
_PIXELS = {"point": ("X-Center", "Y-Center"), "segment": ("X_IMAGE", "Y_IMAGE")}
#: Names of positions on the sky, as HLA's lists have them.
_SKY = (("RA", "DEC"), ("ra", "dec"), ("ALPHA_J2000", "DELTA_J2000"))


def compare(pairs: Sequence[Mapping[str, str]], log_level: int) -> dict[str, Any]:
    """Compare source lists, in the current directory.

    Parameters
    ----------
    pairs : sequence of mapping
        As `hst_assets.hap.quality.hla_comparison.HlaPair.arguments` gives them.
    log_level : int
        Of `logging`.

    Returns
    -------
    dict
        ``outcomes``: of each of HAP's catalogues ``done`` or ``not checked: why``; ``files``: names
        of what was left.
    """
    outcomes: dict[str, str] = {}
    plots: dict[str, list[str]] = defaultdict(list)
    for pair in pairs:
        outcome = _compared(pair, log_level)
        outcomes[Path(pair["catalog"]).name] = outcome
        own = f"{_prefix(pair)}_comparison_plots.pdf"
        if outcome == "done" and Path(own).is_file():
            plots[pair["plots"]].append(own)
    for name, parts in plots.items():
        comparison_utils.pdf_merger(name, parts)
    made = [pair["json_file"] for pair in pairs] + list(plots)
    return {"outcomes": outcomes, "files": [name for name in made if Path(name).is_file()]}


def _prefix(pair: Mapping[str, str]) -> str:
    return Path(pair["catalog"]).name.removesuffix("-cat.ecsv")


def _compared(pair: Mapping[str, str], log_level: int) -> str:
    catalog = Path(Path(pair["catalog"]).name)
    if not catalog.exists():
        catalog.symlink_to(pair["catalog"])
    try:
        legacy = _in_haps_frame(pair)
        if not len(Table.read(catalog)):
            return "not checked: HAP's catalogue has no source"
        status = compare_sourcelists.comparesourcelists(
            slNames=[legacy, str(catalog)],
            imgNames=[pair["hla_image"], pair["image"]],
            good_flag_sum=_ALL_FLAGS,
            plotGen="file",
            plotfile_prefix=_prefix(pair),
            # Without it drizzlepac fails on its own messages.
            verbose=True,
            log_level=log_level,
            output_json_filename=pair["json_file"],
        )
    except (KeyError, IndexError, OSError, TypeError, ValueError) as error:
        if (failure := machine_failure(error)) is not None:
            raise failure from error
        return f"not checked: {type(error).__name__}: {error}"
    except SystemExit:
        return "not checked: drizzlepac does not know the columns of the Legacy Archive's list"
    if status == "ERROR":
        return "not checked: no source in common"
    return "done"


def _in_haps_frame(pair: Mapping[str, str]) -> str:
    """The HLA's list with pixels of HAP's image in its first two columns; its name."""
    listed = Table.read(pair["hla_list"], format="ascii")
    if pair["kind"] == "segment":
        # The HLA has written hyphens; drizzlepac reads underscores.
        for name in listed.colnames:
            listed.rename_column(name, name.replace("-", "_"))
    named = [names for names in _SKY if set(names) <= set(listed.colnames)]
    if not named:
        raise ValueError("the Legacy Archive's list has no positions on the sky")
    if not len(listed):
        raise ValueError("the Legacy Archive's list has no source")
    with fits.open(pair["image"]) as hdus:
        frame = WCS(hdus["SCI"].header, hdus)
    ra, dec = (np.asarray(listed[name], dtype=float) for name in named[0])
    # HAP's catalogues count pixels from 0; drizzlepac puts the HLA's on pixels from 1.
    places = frame.all_world2pix(np.stack([ra, dec], axis=1), 0)
    columns = Table(dict(zip(_PIXELS[pair["kind"]], places.T, strict=True)))
    for name in listed.colnames:
        if name not in columns.colnames:
            columns[{named[0][0]: "RA", named[0][1]: "DEC"}.get(name, name)] = listed[name]
    moved = f"{Path(pair['hla_list']).stem}_in_haps_frame.txt"
    columns.write(moved, format="ascii.csv", overwrite=True)
    return moved

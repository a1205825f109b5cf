"""The child's side of multi-visit mosaics: one layer in a process and a folder of its own.

It does for one layer what ``hapmultisequencer.run_mvm_processing`` of drizzlepac 3.11 does for
all of them in one go, with drizzlepac's own classes.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning
from astropy.wcs import FITSFixedWarning

from hst_assets.failures import ToolFailed
from hst_assets.hap.children import upstream_defects

upstream_defects.apply_at_import()

from drizzlepac.haputils import (  # noqa: E402 - the line above comes first
    analyze,
    config_utils,
    poller_utils,
    processing_utils,
)

__all__ = ["make_layer"]

_POLLER = "poller.csv"
_NO_OVERLAP = {"exit": None, "overlaps": False}


def make_layer(
    *,
    poller: str,
    paths: Mapping[str, str],
    basename: str,
    log_level: int,
    use_defaults: bool,
    parameters_file: str | None,
    new_parameters_file: str | None,
    keep_copies: bool,
) -> dict[str, Any]:
    """Drizzle one layer in the current directory.

    Parameters
    ----------
    poller : str
        Text of a poller of ten columns: NEW are the exposures of the layer, OLD are others that
        its bounding box shall reach to.
    paths : mapping
        Where each exposure of the poller is.
    basename : str
        What the names of the layer's files begin with.
    log_level : int
        Of `logging`.
    use_defaults : bool
        Whether the section ``default_values`` of `parameters_file` is used, not ``parameters``.
    parameters_file : str or None
        File of parameters, which has the layer's; None for those of drizzlepac.
    new_parameters_file : str or None
        Name of the file to which the parameters are written.
    keep_copies : bool
        Keep the copies of the exposures that the layer was made from.

    Returns
    -------
    dict
        ``exit``: the number with which drizzlepac gave up, or None; ``overlaps``: whether an
        exposure reaches into the sky cell; ``members``: exposures in the layer; ``rejected``:
        those that drizzlepac does not take, and why; ``shape``: (ny, nx); ``n_exposures``: mean
        number of chips over its exposed pixels; ``files``: names of what was made.

    Raises
    ------
    ToolFailed
        If drizzlepac leaves no image, or an empty one.
    """
    warnings.simplefilter("ignore", VerifyWarning)
    warnings.simplefilter("ignore", FITSFixedWarning)
    for name, path in paths.items():
        _bring(Path(path), Path(name))
    Path(_POLLER).write_text(poller, encoding="utf-8")
    new = [line.split(",")[0] for line in poller.splitlines() if line.split(",")[-2] == "NEW"]
    try:
        described, layers = poller_utils.interpret_mvm_input(_POLLER, log_level)
    except SystemExit as end:
        return {"exit": _number(end), "overlaps": None, "rejected": _reasons(new)}
    (layer,) = [each for each in layers if each.product_basename == basename]
    # All layers of this poller, coarse and fine, have the same exposures.
    taken = {name for each in described.values() for name in each["files"]}
    members = [name for name in new if name in taken]
    frame = layer.generate_metawcs()
    layer.generate_footprint_mask(save_mask=False)
    if not layer.valid_product:
        return _NO_OVERLAP
    options = {
        "hap_pipeline_name": "mvm",
        "log_level": log_level,
        "use_defaults": use_defaults,
        "input_custom_pars_file": parameters_file,
        "output_custom_pars_file": new_parameters_file,
    }
    layer.configobj_pars = config_utils.HapConfig(layer, **options)
    if new_parameters_file is not None:
        for one in layer.edp_list:
            config_utils.HapConfig(one, **{**options, "input_custom_pars_file": None})
    try:
        shape = _drizzled(layer, frame)
    except SystemExit as end:
        return {"exit": _number(end), "overlaps": True}
    files = [layer.drizzle_filename, layer.trl_filename]
    if keep_copies:
        files += [one.full_filename for one in layer.edp_list]
    return {
        "exit": None,
        "overlaps": True,
        "members": members,
        "rejected": _reasons([name for name in new if name not in members]),
        "shape": list(shape),
        "n_exposures": float(layer.mask_kws["MEANNEXP"][0]),
        "files": files,
    }


def _bring(source: Path, name: Path) -> None:
    """A link; of a file that may not be written a copy, for its mode would be copied, too."""
    if os.access(source, os.W_OK):
        name.symlink_to(source)
    else:
        shutil.copyfile(source, name)


def _number(end: SystemExit) -> int:
    return end.code if isinstance(end.code, int) else 1


def _drizzled(layer: Any, frame: Any) -> tuple[int, int]:
    """Drizzle a layer on its bounding box and finish its header; return (ny, nx)."""
    layer.rules_file = processing_utils.get_rules_file(
        layer.edp_list[0].full_filename, rules_type="MVM", rules_root=layer.drizzle_filename
    )
    layer.wcs_drizzle_product(frame)
    processing_utils.refine_product_headers(layer.drizzle_filename, [layer])
    return _checked(Path(layer.drizzle_filename))


def _checked(path: Path) -> tuple[int, int]:
    try:
        with fits.open(path) as hdus:
            exposed = hdus["WHT", 1].data > 0
            is_empty = not (np.isfinite(hdus["SCI", 1].data) & exposed).any()
            shape = hdus["SCI", 1].shape
    except (OSError, KeyError) as error:
        raise ToolFailed(f"drizzlepac left no image: {error}", where=path) from error
    if is_empty:
        raise ToolFailed("drizzlepac left an image without an exposed pixel", where=path)
    return int(shape[0]), int(shape[1])


def _reasons(names: Sequence[str]) -> dict[str, str]:
    """Why drizzlepac does not take exposures."""
    if not names:
        return {}
    table, _ = analyze.analyze_data(list(names), type="MVM")
    return {
        str(row["imageName"]): (
            "the image looks as if guiding had failed" if row["doProcess"] else row["processMsg"]
        )
        for row in table
    }

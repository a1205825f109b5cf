"""What decides an alignment or a reference, as the recipes of both name it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hst_assets.astrometry.working_copy import WorkingCopy
from hst_assets.exposures.raw import raw_ledger
from hst_assets.failures import MissingProduct
from hst_assets.workdir import WorkDir

__all__ = ["CODE_VERSION", "TOOLS", "ledger_digests", "raw_inputs"]

#: Raised by hand when the code changes what an alignment or a reference will be.
CODE_VERSION = "2"
#: Distributions whose version decides an alignment.
TOOLS = ("astropy", "astroscrappy", "drizzlepac", "photutils", "stsci.stimage", "stwcs")


def ledger_digests(workdir: WorkDir) -> dict[str, str]:
    """SHA-256 of each file in raw/ by name."""
    return {file.name: file.sha256 for file in raw_ledger(workdir)}


def raw_inputs(
    workdir: WorkDir, names: Iterable[str], digests: Mapping[str, str]
) -> dict[str, str]:
    """A recipe's inputs: exposure files of raw/ and their companions.

    Raises
    ------
    MissingProduct
        If one is not in the ledger.
    """
    inputs = {}
    for name in names:
        for path in WorkingCopy.at(workdir.raw / name).files:
            if path.name not in digests:
                raise MissingProduct(
                    "the exposure is not in the ledger of raw/",
                    where=path,
                    next_step="Ingest it again",
                )
            inputs[f"raw:{path.name}"] = digests[path.name]
    return inputs

"""Compare HAP's catalogues with those of the Hubble Legacy Archive (HLA), where there are some.

The HLA's images and catalogues are looked for where drizzlepac looks for them: below
``HLA_CLASSIC_BASEPATH``, which has the tree of its own pipeline, else in a folder ``hla_classic``.
drizzlepac's ``compare_sourcelists`` compares; each catalogue gives one JSON file, each detector one
PDF of plots. Nothing is fetched.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hst_assets.failures import MissingProduct
from hst_assets.hap.quality.visit_files import DrizzledImage, drizzled_images
from hst_assets.isolation import run_isolated
from hst_assets.settings import MachineSettings

__all__ = [
    "COMPARISON",
    "HlaComparison",
    "HlaPair",
    "compare_with_hla",
    "hla_pairs",
    "why_without_hla",
]

#: The test's name, as drizzlepac's ``run_quality_analysis`` has it.
COMPARISON = "compare_hla_sourcelists"

_BASE = "HLA_CLASSIC_BASEPATH"
_BUILD = "HLA_BUILD_VER"
_LOCAL = "hla_classic"
_TASK = "hst_assets.hap.children.hla_comparison_task:compare"
#: HAP's kind of catalogue, and the HLA's.
_CATALOGS = {"point": "dao", "segment": "sex"}


@dataclass(frozen=True)
class HlaPair:
    """A catalogue of HAP and one of the HLA, of the same filter and visit.

    Attributes
    ----------
    image : DrizzledImage
        HAP's image of the filter.
    kind : str
        ``point`` or ``segment``.
    hla_image, hla_list : Path
        The HLA's image and catalogue.
    """

    image: DrizzledImage
    kind: str
    hla_image: Path
    hla_list: Path

    @property
    def catalog(self) -> Path:
        """HAP's catalogue."""
        return self.image.beside(f"_{self.kind}-cat.ecsv")

    @property
    def json_file(self) -> str:
        """What the comparison leaves."""
        return f"{self.catalog.stem}_svm_compare_sourcelists.json"

    @property
    def plots(self) -> str:
        """The PDF of all comparisons of the detector."""
        return f"{self.image.beginning}{self.image.root}_svm_comparison_plots.pdf"

    def arguments(self) -> dict[str, str]:
        """As the task in the child process takes them."""
        return {
            "image": str(self.image.path.absolute()),
            "catalog": str(self.catalog.absolute()),
            "kind": self.kind,
            "hla_image": str(self.hla_image.absolute()),
            "hla_list": str(self.hla_list.absolute()),
            "json_file": self.json_file,
            "plots": self.plots,
        }


@dataclass(frozen=True)
class HlaComparison:
    """The outcome of the comparison.

    Attributes
    ----------
    skipped : str
        Why nothing was compared; empty if something was.
    outcomes : mapping
        Of each catalogue of HAP, by its file: ``done`` or ``not checked: why``.
    products : tuple of Path
        JSON files and plots.
    """

    skipped: str = ""
    outcomes: Mapping[str, str] = field(default_factory=dict)
    products: tuple[Path, ...] = ()

    @property
    def told(self) -> str:
        """In one sentence, as the other tests of quality are told."""
        if self.skipped:
            return f"not checked: {self.skipped}"
        failed = [f"{name}: {each}" for name, each in self.outcomes.items() if each != "done"]
        return "; ".join(failed) if failed else "done"


def why_without_hla(environ: Mapping[str, str], local: Path) -> str:
    """Why there is nothing of the HLA to compare with; empty if there is a place for it.

    Parameters
    ----------
    environ : mapping
        `os.environ`.
    local : Path
        The folder in which ``hla_classic`` may be.
    """
    if _base(environ) is not None or (local / _LOCAL).is_dir():
        return ""
    asked = environ.get(_BASE)
    if asked and not environ.get(_BUILD):
        return f"${_BASE} is set without ${_BUILD}, and there is no {local / _LOCAL}"
    if asked:
        return f"${_BASE} is no folder: {asked}, and there is no {local / _LOCAL}"
    return f"neither ${_BASE} is set nor is there a folder {local / _LOCAL}"


def hla_pairs(
    images: tuple[DrizzledImage, ...], environ: Mapping[str, str], local: Path
) -> tuple[HlaPair, ...]:
    """The catalogues that have a counterpart in the HLA's files.

    Parameters
    ----------
    images : tuple of DrizzledImage
        Those of the visit.
    environ : mapping
        `os.environ`; ``HLA_CLASSIC_BASEPATH`` counts with ``HLA_BUILD_VER`` only.
    local : Path
        The folder in which ``hla_classic`` may be.

    Notes
    -----
    Names are drizzlepac's: ``<beginning><filter>_dr?.fits`` and ``…_daophot.txt``,
    ``…_sexphot.txt``; below the base path ``<instrument>/<build>/<proposal>/<proposal>_<visit>``,
    with the catalogues in ``logs``.
    """
    base = _base(environ)
    found = []
    for image in images:
        if image.level != "filter":
            continue
        if base is None:
            folder = lists = local / _LOCAL
        else:
            proposal = image.proposal.zfill(5)
            folder = base.joinpath(
                image.instrument, environ[_BUILD], proposal, f"{proposal}_{image.visit}"
            )
            lists = folder / "logs"
        named = f"{image.beginning}{image.filter}"
        hla_image = next(iter(sorted(folder.glob(f"{named}_dr*.fits"))), None)
        for kind, program in _CATALOGS.items():
            hla_list = lists / f"{named}_{program}phot.txt"
            catalog = image.beside(f"_{kind}-cat.ecsv")
            if hla_image is not None and hla_list.is_file() and catalog.is_file():
                found.append(HlaPair(image, kind, hla_image, hla_list))
    return tuple(found)


def _base(environ: Mapping[str, str]) -> Path | None:
    base = environ.get(_BASE)
    if base and environ.get(_BUILD) and Path(base).is_dir():
        return Path(base)
    return None


def compare_with_hla(
    folder: Path,
    *,
    environ: Mapping[str, str],
    local: Path | None = None,
    machine: MachineSettings | None = None,
    log_level: int = logging.INFO,
    log_path: Path | None = None,
) -> HlaComparison:
    """Compare the catalogues of a finished visit with those of the HLA.

    Parameters
    ----------
    folder : Path
        Of the visit, with its images and catalogues; what is compared is left there.
    environ : mapping
        `os.environ`.
    local : Path, optional
        The folder in which ``hla_classic`` may be; by default `folder`.
    machine : MachineSettings, optional
        Time limit (tool ``hap``).
    log_level : int, optional
        Of `logging`.
    log_path : Path, optional
        Where to keep what drizzlepac says.

    Returns
    -------
    HlaComparison
        Also if there is nothing to compare with: then it says why.

    Raises
    ------
    MissingProduct
        If there is no such folder.
    MachineFailure
        If the machine failed, not the data.
    """
    if not folder.is_dir():
        raise MissingProduct(
            "there is no such folder of a visit",
            where=folder,
            next_step="Make its products with 'hst-assets hap POLLER'",
        )
    local = folder if local is None else local
    why = why_without_hla(environ, local)
    if why:
        return HlaComparison(why)
    pairs = hla_pairs(drizzled_images(folder), environ, local)
    if not pairs:
        return HlaComparison("the Legacy Archive's files have no catalogue of these filters")
    machine = machine or MachineSettings()
    with tempfile.TemporaryDirectory(prefix=".hap-hla-", dir=folder) as name:
        scratch = Path(name)
        told = run_isolated(
            _TASK,
            {"pairs": [each.arguments() for each in pairs], "log_level": log_level},
            scratch=scratch,
            log_path=log_path or scratch / "log.txt",
            timeout_s=machine.timeout_s("hap"),
        )
        return _kept(told, scratch, folder)


def _kept(told: Mapping[str, Any], scratch: Path, folder: Path) -> HlaComparison:
    products = []
    for name in told["files"]:
        shutil.move(scratch / name, folder / name)
        products.append(folder / name)
    return HlaComparison("", dict(told["outcomes"]), tuple(products))

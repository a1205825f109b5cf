"""Checks of what is published (see `hst_assets.orchestration.checks`)."""

from __future__ import annotations

from hst_assets.orchestration.checks import Check, Finding, listed, not_checked
from hst_assets.provenance import Made
from hst_assets.workdir import WorkDir

__all__ = ["ALL_PUBLISHED", "PUBLICATION_VERIFIED"]


def _all_published(made: Made, _workdir: WorkDir) -> Finding:
    facts = made.facts
    told = [*facts["not_sent"], *facts.get("outside", ()), *facts.get("notes", ())]
    if told:
        return Finding(passed=False, text=listed(told))
    return Finding(passed=True, text=f"{facts['n_files']} files are published")


def _verified(made: Made, _workdir: WorkDir) -> Finding:
    facts = made.facts
    if facts["n_by_size"]:
        text = f"{facts['n_by_size']} of {facts['n_files']} files were verified by size alone"
        return not_checked(f"{text} (publish.read_back compares their checksums)")
    return Finding(passed=True, text=f"{facts['n_by_checksum']} files verified by checksum")


ALL_PUBLISHED = Check(
    "all_published",
    "Every finished product is published, and nothing superseded is left.",
    _all_published,
)
PUBLICATION_VERIFIED = Check(
    "publication_verified",
    "Every published file was compared by checksum after it was sent.",
    _verified,
)

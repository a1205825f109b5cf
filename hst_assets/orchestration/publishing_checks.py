"""Checks of what is published (see `hst_assets.orchestration.checks`)."""

from __future__ import annotations

from hst_assets.orchestration.checks import Check, Finding, listed, not_checked
from hst_assets.provenance import Made
from hst_assets.workdir import WorkDir

__all__ = ["ALL_PUBLISHED", "PUBLICATION_VERIFIED"]


def _all_published(made: Made, _workdir: WorkDir) -> Finding:
    facts = made.facts
    lacking = [*facts["not_sent"], *facts.get("lost", ())]
    # Said, and nothing that is to be mended: files of the user's own, and what was left there.
    said = [*facts.get("outside", ()), *facts.get("notes", ())]
    if lacking:
        return Finding(passed=False, text=listed([*lacking, *said]))
    text = f"{facts['n_files']} files are published"
    return Finding(passed=True, text=f"{text}; {listed(said)}" if said else text)


def _verified(made: Made, _workdir: WorkDir) -> Finding:
    facts = made.facts
    if facts["n_by_size"]:
        text = f"{facts['n_by_size']} of {facts['n_files']} files were verified by size alone"
        return not_checked(f"{text} (set publish.read_back, and publish with --check)")
    return Finding(passed=True, text=f"{facts['n_by_checksum']} files verified by checksum")


ALL_PUBLISHED = Check(
    "all_published",
    "Every finished product is published.",
    _all_published,
)
PUBLICATION_VERIFIED = Check(
    "publication_verified",
    "Every published file was compared by checksum after it was sent.",
    _verified,
)

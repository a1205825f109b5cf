"""What is said of one failed run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hst_assets.shown_text import plain_text

__all__ = ["Alert", "one_line"]

#: Of a line: messages are read on telephones, and services cut long ones anywhere.
_LONGEST = 600


def one_line(text: object) -> str:
    """A text of unknown origin on one line, without control characters, cut where it is long."""
    line = " ".join(plain_text(text).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 2]} …"


@dataclass(frozen=True)
class Alert:
    """One failed run.

    Attributes
    ----------
    run_id, job : str
        As Dagster calls it.
    target, visit : str
        Its partition; empty if it has none.
    assets : sequence of str
        Those that failed; empty if the run ended by itself.
    why, next_step : str
        In a line each; the second may be empty.
    ended : str
        When (ISO 8601, UTC).
    link : str
        Of its page in the web UI; empty if nobody told where that is.
    """

    run_id: str
    job: str
    target: str
    visit: str
    assets: Sequence[str]
    why: str
    next_step: str
    ended: str
    link: str = ""

    @property
    def subject(self) -> str:
        """In a few words."""
        where = "/".join(filter(None, (self.target, self.visit)))
        return one_line(f"hst_assets: {self.what} failed{f' for {where}' if where else ''}")

    @property
    def what(self) -> str:
        """The assets that failed, or else the job."""
        return ", ".join(self.assets) or self.job

    @property
    def text(self) -> str:
        """The whole message."""
        lines = [
            self.subject,
            f"target: {self.target}" if self.target else "",
            f"visit: {self.visit}" if self.visit else "",
            f"asset: {', '.join(self.assets)}" if self.assets else "",
            f"why: {one_line(self.why)}",
            f"what to do: {one_line(self.next_step)}" if self.next_step else "",
            f"run: {self.run_id[:8]} of {self.job}, ended {self.ended}",
            self.link,
        ]
        return "\n".join(filter(None, lines))

    def as_json(self) -> dict[str, Any]:
        """For a webhook: ``text``, which chat services show, and each fact by itself."""
        facts = {
            key: one_line(value) if isinstance(value, str) else [*value]
            for key, value in asdict(self).items()
        }
        return {"text": self.text, **facts}

"""The command line, ``hst-assets``: one module a command."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line; failures of the vocabulary end it with one clear line."""
    from hst_assets.cli.application import run

    run()

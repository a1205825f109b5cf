"""The command line, ``hst-assets``: one module a command."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line; failures of the vocabulary end it with one clear line."""
    import os

    from hst_assets.cli.interruption import interruptible
    from hst_assets.machine.numerical_threads import pin_threads

    pin_threads(os.environ)  # before numpy is imported
    with interruptible() as interruption:
        from hst_assets.cli.application import run

        run(interruption)

"""The file .env of the current folder, which Dagster's own commands read before anything else.

``dagster dev`` without ``DAGSTER_HOME`` works on an instance that is thrown away, and reports usage
to its makers. Nothing in this package can change that: the commands do not load it. A file .env
in the folder where they are called does. What it says wins over the environment, so the variables
are written as defaults, which the environment overrides.
"""

from __future__ import annotations

import os
from pathlib import Path

from hst_assets.cli.deployment import HOME_VARIABLE, is_checkout, ready_home
from hst_assets.cli.terminal import errors
from hst_assets.failures import BadConfiguration
from hst_assets.workdir import ROOT_VARIABLE, WorkDir, default_root

__all__ = ["introduce_folder", "write_env_file"]

_NAME = ".env"
_LEAD = "# Dagster's own commands use the instance of hst-assets when called in this folder.\n"


def introduce_folder(workdir: WorkDir) -> None:
    """Let Dagster's own commands find what is done in the current folder, and say so.

    Only where nobody has decided otherwise: no variable is set, work directories are in data/ of
    this folder, there is no .env, and it is no checkout.
    """
    decided = os.environ.get(HOME_VARIABLE) or os.environ.get(ROOT_VARIABLE)
    if decided or is_checkout() or workdir.root != default_root() or Path(_NAME).exists():
        return
    write_env_file({HOME_VARIABLE: str(ready_home())})
    errors().print(
        "[yellow]note[/yellow] 'dagster dev -m hst_assets.definitions' in this folder uses the "
        "same instance, which the new file .env names",
        highlight=False,
    )


def write_env_file(variables: dict[str, str]) -> None:
    """Add variables to .env of the current folder; what it says already stays.

    Raises
    ------
    BadConfiguration
        If it names one of them already, and another value.
    """
    path = Path(_NAME)
    text = path.read_text() if path.is_file() else ""
    said = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    wanted = {name: f"${{{name}:-{value}}}" for name, value in variables.items()}
    for name, value in wanted.items():
        if said.get(name, value) not in {value, variables[name]}:
            raise BadConfiguration(
                f"{name} is {said[name]} there, and {variables[name]} here",
                where=path.absolute(),
                next_step=f"Remove the line of {name}, or set the variable to the same",
            )
    added = [f"{name}={value}\n" for name, value in wanted.items() if name not in said]
    if added:
        lead = "" if text.endswith("\n") or not text else "\n"
        path.write_text(text + lead + _LEAD + "".join(added))

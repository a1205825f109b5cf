"""``hst-assets worker``: do runs of the queues on this machine, as one of several."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from hst_assets.cli.deployment import opened_instance
from hst_assets.cli.terminal import RootOption, output, root_or_default
from hst_assets.failures import BadConfiguration
from hst_assets.orchestration.queues import QUEUES
from hst_assets.workdir import ROOT_VARIABLE
from hst_assets.workdir.shared_root import MARK_VARIABLE, mark_of

__all__ = ["worker_command"]


def worker_command(
    queue: Annotated[
        list[str] | None,
        typer.Option(
            "--queue",
            "-q",
            help=f"Queue to take runs from (repeat for several): {', '.join(QUEUES)}. "
            "By default all.",
        ),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Number of runs at a time.")] = 1,
    name: Annotated[
        str, typer.Option(help="Name of the worker, unique on this machine.")
    ] = "worker",
    root: RootOption = None,
) -> None:
    """Execute runs from Celery's queues until terminated (SIGTERM); runs in progress are finished.

    Ctrl-C in its terminal also interrupts the steps in progress.

    Needs the instance of a deployment on several machines ('hst-assets home --celery') and a root
    that they share.
    """
    _refuse_unknown(queue or ())
    folder = root_or_default(root)
    mark = mark_of(folder)
    if not mark:
        raise BadConfiguration(
            "this is not the folder of work directories that the machines share",
            where=folder,
            next_step="Mount it; if it is new, mark it with 'hst-assets home --celery'",
        )
    with opened_instance() as instance:
        # Once, before the processes are forked.
        import hst_assets.definitions  # noqa: F401
        from hst_assets.orchestration.celery_worker import serve_queues

        output().print(
            f"worker {name}@{socket.gethostname()}: {processes} at a time from "
            f"{', '.join(queue or QUEUES)}; work directories {folder}",
            highlight=False,
        )
        # Of this process and its children, which do nothing else from now on.
        environment = {ROOT_VARIABLE: str(folder), MARK_VARIABLE: mark}
        serve_queues(
            instance, queue or QUEUES, n_processes=processes, name=name, environment=environment
        )


def _refuse_unknown(queues: list[str] | tuple[str, ...]) -> None:
    for each in queues:
        if each not in QUEUES:
            raise BadConfiguration(
                f"no queue {each!r}", where="--queue", next_step=f"Use {', '.join(QUEUES)}"
            )

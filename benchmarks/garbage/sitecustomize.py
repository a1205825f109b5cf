"""In the path of a run of `hard_days.py`: tool calls end well, and have left garbage.

``HARD_DAYS_GARBAGE`` names the damage and the task; files that were damaged are listed in the file
that ``HARD_DAYS_DAMAGED`` names. A call ends by `os._exit` from `hst_assets.nursery`, in its
scratch folder.
"""

import inspect
import os
from pathlib import Path

_REPLY = "reply.json"
_exit = os._exit


def _garbage(name: str, content: bytes) -> bytes:
    if name == "noise":
        return os.urandom(len(content))
    if name == "half":
        return content[: len(content) // 2]
    return b'\xff{"value": ' if name == "reply" else b""


def _damage(name: str) -> None:
    told = []
    for path in sorted(Path.cwd().rglob("*")):
        # Links lead to what is not the call's own.
        if path.is_file() and not path.is_symlink() and (path.name == _REPLY) == (name == "reply"):
            path.write_bytes(_garbage(name, path.read_bytes()))
            told.append(f"{path}\n")
    with Path(os.environ["HARD_DAYS_DAMAGED"]).open("a") as marks:
        marks.writelines(told)


def _damaging_exit(status: int) -> None:
    frame = inspect.currentframe()
    caller = frame and frame.f_back
    wanted = os.environ.get("HARD_DAYS_GARBAGE", "").split()
    if status == 0 and caller and caller.f_code.co_name == "_run_call" and len(wanted) == 2:
        name, task = wanted
        if caller.f_locals["task"] == task:
            _damage(name)
    _exit(status)


os._exit = _damaging_exit

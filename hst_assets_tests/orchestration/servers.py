"""Redis and PostgreSQL in scratch folders, to be started, stopped and started again."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

#: Where Debian has PostgreSQL's programs, which are not on the path.
_POSTGRES_PROGRAMS = "/usr/lib/postgresql/*/bin"
#: The servers answer within seconds; a loaded machine is no failure.
_ANSWER_S = 60


def missing_servers():
    """What is not installed of the servers, in words; empty if nothing."""
    return " and ".join(
        name
        for name, found in (("redis-server", _redis()), ("PostgreSQL", _postgres("initdb")))
        if found is None
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(happened, what, within_s=_ANSWER_S, pause_s=0.1):
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not within {within_s} s"
        time.sleep(pause_s)


class Redis:
    """A broker. Its queues survive a restart by its log on disk, as the guide has it."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [
                *(_redis(), "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "always"),
                *("--save", "", "--daemonize", "no"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: _listens(self.port), "redis-server")
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    stop = kill


class Postgres:
    """A database that nobody else uses. It refuses to be root's, and is then another user's.

    Parameters
    ----------
    is_durable : bool
        Whether it waits for the disk at each commit, as one that is to be kept does; it is then in
        /tmp, not in memory.
    """

    def __init__(self, *, is_durable=False):
        # Its user must get there: pytest's folders are closed to others, as is a TMPDIR of CI's.
        in_memory = not is_durable and os.access("/dev/shm", os.W_OK)
        parent = "/dev/shm" if in_memory else "/tmp"
        self._fsync = "on" if is_durable else "off"
        self.folder = Path(tempfile.mkdtemp(prefix="hst_assets-postgres-", dir=parent))
        self.port = free_port()
        self.url = f"postgresql+psycopg2://hst@127.0.0.1:{self.port}/postgres"
        self._as_owner = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
            self._as_owner = ["runuser", "-u", "postgres", "--"]
        self._run("initdb", "-D", self.data, "-U", "hst", "-A", "trust", "--no-sync", "-E", "UTF8")

    @property
    def data(self):
        return str(self.folder / "data")

    def start(self):
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync={self._fsync} "
            f"-c unix_socket_directories={self.folder} -c max_connections=200"
        )
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", self.data, "-l", log, "-o", options, "-w", "start")
        return self

    def stop(self, mode="fast"):
        """``immediate`` is how it ends when its machine does."""
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def remove(self):
        with suppress(subprocess.CalledProcessError):
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program, *arguments):
        subprocess.run(
            [*self._as_owner, _postgres(program), *arguments],
            check=True,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # pg_ctl's server keeps its descriptors: a pipe would never end.
            stderr=subprocess.DEVNULL,
        )


def _redis():
    return shutil.which("redis-server")


def _postgres(program):
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return None
    found = shutil.which(program)
    installed = sorted(Path("/").glob(f"{_POSTGRES_PROGRAMS.lstrip('/')}/{program}"))
    return found or (str(installed[-1]) if installed else None)


def _listens(port):
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False

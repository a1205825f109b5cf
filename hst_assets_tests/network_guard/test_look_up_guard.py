"""Whoever asks the network in a test is refused, and the test fails however it takes that."""

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hst_assets_tests.network_guard.look_up_guard import ALLOWED, OFFENCES, is_local

NAME = "nowhere.invalid"
FOLDER = Path(__file__).parent


@pytest.fixture
def child(tmp_path):
    """Runs a program in a child under the guard, and tells what was told on and what it printed."""

    def run(program, **environment):
        offences = tmp_path / "offences"
        offences.touch()
        ended = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            env={**os.environ, OFFENCES: str(offences), ALLOWED: "", **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return offences.read_text(), ended.stdout

    return run


@pytest.mark.parametrize(
    "host", [None, "", "localhost", "127.0.0.1", b"127.0.0.1", "::1", "0.0.0.0"]
)
def test_this_machine_is_local(host):
    assert is_local(host)


@pytest.mark.parametrize("host", ["mast.stsci.edu", "192.0.2.1", "localhost.example.org", b"x.y"])
def test_another_machine_is_not(host):
    assert not is_local(host)


@pytest.mark.looks_up(NAME)
def test_a_name_that_a_test_means_to_look_up_does_not_exist():
    with pytest.raises(socket.gaierror, match="not known"):
        socket.getaddrinfo(NAME, 80)


@pytest.mark.parametrize(
    "call",
    [
        "socket.getaddrinfo('nowhere.invalid', 80)",
        "socket.gethostbyname('nowhere.invalid')",
        "socket.socket().connect(('192.0.2.1', 80))",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
    ],
)
def test_a_child_that_swallows_the_refusal_is_told_on(child, call):
    told, _ = child(f"""
        import contextlib, socket
        with contextlib.suppress(OSError):
            {call}
    """)
    assert "nowhere.invalid" in told or "192.0.2.1" in told


def test_a_grandchild_is_told_on(child):
    told, _ = child("""
        import subprocess, sys
        program = "import socket; socket.getaddrinfo('nowhere.invalid', 80)"
        subprocess.run([sys.executable, "-c", program], capture_output=True)
    """)
    assert told.startswith("getaddrinfo nowhere.invalid")
    assert told.count("\n") == 1


def test_loopback_is_nobodys_business(child):
    told, printed = child("""
        import socket
        server = socket.create_server(("127.0.0.1", 0))
        with socket.create_connection(("localhost", server.getsockname()[1]), timeout=10):
            print("connected")
    """)
    assert (told, printed.strip()) == ("", "connected")


def test_what_is_allowed_is_refused_but_not_told_on(child):
    told, printed = child(
        """
        import socket
        try:
            socket.getaddrinfo("nowhere.invalid", 80)
        except socket.gaierror:
            print("refused")
        """,
        **{ALLOWED: "other.invalid,*where.invalid"},
    )
    assert (told, printed.strip()) == ("", "refused")


def test_a_process_that_refuses_itself_is_let_be(child):
    told, printed = child(
        """
        import socket
        from hst_assets.astrometry.methods.loopback_only import refuse_the_network
        refuse_the_network()
        try:
            socket.getaddrinfo("nowhere.invalid", 80)
        except socket.gaierror as error:
            print(error)
        """,
    )
    assert told == ""
    assert "kept off" in printed


@pytest.fixture
def guarded_suite(tmp_path):
    """Runs a test module in a pytest of its own that has this suite's guard."""

    def run(module):
        conftest = Path(__file__).parents[1] / "conftest.py"
        (tmp_path / "conftest.py").write_text(conftest.read_text())
        (tmp_path / "test_module.py").write_text(textwrap.dedent(module))
        options = ["-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-c", os.devnull]
        checkout = str(Path(__file__).parents[2])
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n0", *options, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": checkout},
            capture_output=True,
            text=True,
        )

    return run


def test_a_test_fails_whose_code_swallows_the_refusal(guarded_suite):
    ended = guarded_suite("""
        import contextlib, socket, subprocess, sys

        def test_swallows():
            with contextlib.suppress(OSError):
                socket.getaddrinfo("nowhere.invalid", 80)

        def test_has_a_child():
            program = "import socket; socket.getaddrinfo('nowhere.invalid', 80)"
            subprocess.run([sys.executable, "-c", program], capture_output=True)

        def test_does_nothing():
            pass
    """)
    assert "3 passed, 2 errors" in ended.stdout
    assert ended.stdout.count("asked the network") >= 2
    assert ended.returncode == 1


def test_a_test_that_means_to_look_a_name_up_passes(guarded_suite):
    ended = guarded_suite("""
        import pytest, socket

        @pytest.mark.looks_up("nowhere.invalid")
        def test_looks_up():
            with pytest.raises(socket.gaierror):
                socket.getaddrinfo("nowhere.invalid", 80)
    """)
    assert "1 passed" in ended.stdout
    assert ended.returncode == 0

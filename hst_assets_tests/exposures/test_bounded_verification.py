import array
import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import time

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.exposures import bounded_verification
from hst_assets.exposures.bounded_verification import (
    Verified,
    begin_verification,
    cpu_allowance_s,
)
from hst_assets.exposures.dq_files import quality_file
from hst_assets.exposures.verification import verify_exposure
from hst_assets.failures import TransientFailure, UnusableInput


def verify(path):
    companion = quality_file(path)
    return begin_verification(path, companion if companion != path else None)()


def child_pid():
    return bounded_verification._KEPT.child._process.pid


@pytest.mark.parametrize("key", ["acs_hrc", "wfc3_uvis", "wfpc2"])
def test_the_answer_is_that_of_the_verification_itself(exposure_file, key):
    path = exposure_file(key, n_chips={"acs_hrc": 1, "wfc3_uvis": 2, "wfpc2": 4}[key])
    expected = Verified.of(verify_exposure(path, quality_file(path)))
    found = verify(path)
    assert (found.rootname, found.visit) == (expected.rootname, expected.visit)
    assert (found.ra_target_deg, found.dec_target_deg) == (150.1, 2.2)
    for ours, theirs in zip(found.polygons, expected.polygons, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-7)  # seven decimals


def test_a_reason_comes_with_its_remedy(exposure_file):
    path = exposure_file("wfpc2", n_chips=4)
    quality_file(path).unlink()
    with pytest.raises(UnusableInput, match=r"companion _c1m\.fits is missing") as caught:
        verify(path)
    assert caught.value.next_step == "Give both files"
    assert caught.value.where == str(path)


def test_one_child_serves_many_files(exposure_file):
    verify(exposure_file("acs_hrc"))
    first = child_pid()
    with pytest.raises(UnusableInput):
        verify(exposure_file("acs_hrc", primary={"FILTER1": "G800L"}))
    verify(exposure_file("wfc3_ir"))
    assert child_pid() == first


def test_an_answer_is_heard_that_comes_together_with_the_first_word(exposure_file):
    """The caller has other things to do meanwhile: both lines wait in the pipe then."""
    bounded_verification._KEPT.child = None
    answer = begin_verification(exposure_file())
    waiting = bounded_verification._KEPT.child._process.stdout.fileno()
    deadline = time.monotonic() + 60.0
    while pending_bytes(waiting) < 300 and time.monotonic() < deadline:
        time.sleep(0.02)
    begun = time.monotonic()
    assert answer().rootname == "jddd04ghq"
    assert time.monotonic() - begun < 10.0  # not after all the patience there is


def pending_bytes(descriptor):
    count = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, count)
    return count[0]


def test_a_child_that_died_in_between_is_replaced(exposure_file):
    path = exposure_file()
    verify(path)
    os.kill(child_pid(), signal.SIGKILL)
    assert verify(path).rootname == "jddd04ghq"


def test_an_answer_that_nobody_took_is_not_taken_for_the_next(exposure_file):
    begin_verification(exposure_file("acs_hrc"))
    assert verify(exposure_file("wfc3_ir")).rootname == "ibbb02cdq"


def _stopped_during(path, number):
    """What is said of a file during whose verification the child gets a signal."""
    verify(path)
    pid = child_pid()
    os.kill(pid, signal.SIGSTOP)  # before it can answer
    waiting = begin_verification(path)
    os.kill(pid, number)
    os.kill(pid, signal.SIGCONT)
    return waiting


def test_a_file_is_tried_again_when_the_child_was_killed(exposure_file):
    assert _stopped_during(exposure_file(), signal.SIGKILL)().rootname == "jddd04ghq"


def test_a_child_that_is_killed_again_is_no_verdict(exposure_file, monkeypatch):
    waiting = _stopped_during(exposure_file(), signal.SIGKILL)
    send = bounded_verification._Child.send

    def send_and_kill(child, *paths):
        send(child, *paths)
        child._process.kill()

    monkeypatch.setattr(bounded_verification._Child, "send", send_and_kill)
    with pytest.raises(TransientFailure, match=r"killed by SIGKILL|does not start"):
        waiting()


def test_one_crash_is_an_accident(exposure_file):
    assert _stopped_during(exposure_file(), signal.SIGSEGV)().rootname == "jddd04ghq"


def _crash_from_now_on(monkeypatch):
    """Every file that is sent from now on ends its child with SIGSEGV."""
    send = bounded_verification._Child.send

    def send_and_crash(child, *paths):
        child._line(60.0)  # its sign: it is ready
        child._started = True
        os.kill(child.pid, signal.SIGSTOP)
        send(child, *paths)
        os.kill(child.pid, signal.SIGSEGV)
        os.kill(child.pid, signal.SIGCONT)

    monkeypatch.setattr(bounded_verification._Child, "send", send_and_crash)


def test_a_second_crash_on_a_file_is_a_verdict(exposure_file, monkeypatch):
    waiting = _stopped_during(exposure_file(), signal.SIGSEGV)
    _crash_from_now_on(monkeypatch)
    with pytest.raises(UnusableInput, match=r"corrupt: the FITS reader .*SIGSEGV .*, twice"):
        waiting()


def test_a_crash_after_a_kill_from_outside_is_the_first(exposure_file, monkeypatch):
    waiting = _stopped_during(exposure_file(), signal.SIGTERM)
    _crash_from_now_on(monkeypatch)
    with pytest.raises(TransientFailure, match="SIGSEGV"):
        waiting()


def test_taking_too_long_is_a_verdict(exposure_file):
    waiting = _stopped_during(exposure_file(), signal.SIGXCPU)
    with pytest.raises(UnusableInput, match="takes too long to be read"):
        waiting()


def test_the_allowance_grows_with_the_file():
    # The largest exposures have 170 MB, and take less than 1 s.
    assert cpu_allowance_s(10_000_000) < 5.0 < cpu_allowance_s(170_000_000)


# ---------------------------------------------------- small files that want much time or memory


def _rows_of_nothing(path):
    """A table of a thousand million rows without bytes."""
    table = fits.BinTableHDU.from_columns([fits.Column("X", "0A", array=np.array([""]))])
    table.header["NAXIS2"] = 10**9
    table.header["NAXIS1"] = 0
    content = table.header.tostring().encode()
    path.write_bytes(path.read_bytes() + content)


def _shared_heap(path):
    """40,000 rows whose variable-length arrays are all the same 400 kB: 16 GB in memory."""
    n_rows, n_heap = 40_000, 400_000
    header = fits.Header(
        {
            "XTENSION": "BINTABLE",
            "BITPIX": 8,
            "NAXIS": 2,
            "NAXIS1": 8,
            "NAXIS2": n_rows,
            "PCOUNT": n_heap,
            "GCOUNT": 1,
            "TFIELDS": 1,
            "TTYPE1": "X",
            "TFORM1": f"PB({n_heap})",
        }
    )
    data = struct.pack(">ii", n_heap, 0) * n_rows + bytes(n_heap)
    padding = bytes(-len(data) % 2880)
    path.write_bytes(path.read_bytes() + header.tostring().encode() + data + padding)


@pytest.mark.parametrize("spoil", [_rows_of_nothing, _shared_heap])
def test_a_table_that_fills_the_memory_is_refused(exposure_file, spoil):
    path = exposure_file()
    spoil(path)
    with pytest.raises(UnusableInput):
        verify(path)
    assert verify(exposure_file("wfc3_ir")).rootname == "ibbb02cdq"


def in_a_process_of_its_own(path, folder, preparation=""):
    """What a fresh process in `folder` says of a file."""
    program = textwrap.dedent(
        f"""
        import resource
        from pathlib import Path
        {preparation}
        from hst_assets.exposures.bounded_verification import begin_verification
        print(begin_verification(Path({str(path)!r}))().rootname)
        """
    )
    command = [sys.executable, "-P", "-c", program]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_nothing_is_imported_from_the_folder_of_the_data(exposure_file, tmp_path):
    for name in ("calendar", "resource", "random"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(3)\n")
    ended = in_a_process_of_its_own(exposure_file(), tmp_path)
    assert ended.stdout == "jddd04ghq\n", ended.stderr


def test_a_limit_of_the_users_is_kept_and_no_verdict(exposure_file, tmp_path):
    """As on a batch node: the hard limit of CPU time may not be raised."""
    limit = "resource.setrlimit(resource.RLIMIT_CPU, (600, 600))"
    ended = in_a_process_of_its_own(exposure_file(), tmp_path, limit)
    assert ended.stdout == "jddd04ghq\n", ended.stderr


def test_the_end_of_the_child_by_itself_is_no_verdict(exposure_file, monkeypatch):
    monkeypatch.setattr(bounded_verification, "_KEPT", bounded_verification._Kept())
    monkeypatch.setattr(bounded_verification, "_MODULE", "hst_assets.no_such_module")
    with pytest.raises(TransientFailure, match="does not start"):
        verify(exposure_file())

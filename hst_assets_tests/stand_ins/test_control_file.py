"""The stand-in as a process of its own, told what to do by a file."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from hst_assets_tests.stand_ins.control_file import ControlFile
from hst_assets_tests.stand_ins.mast import Mast
from hst_assets_tests.stand_ins.tiny_exposures import tiny_exposure

RA, DEC = 150.1, 2.2
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path):
    """A folder with two visits of one exposure each."""
    write(tmp_path, "jaaa01aaq")
    write(tmp_path, "jaaa02aaq")
    return tmp_path


@pytest.fixture
def mast(folder):
    with Mast() as mast:
        mast.control = ControlFile(folder)
        yield mast


def write(folder, rootname, **options):
    for name, content in tiny_exposure(rootname, "acs_wfc", RA, DEC, **options).items():
        (folder / f"{name}.part").write_bytes(content)
        (folder / f"{name}.part").replace(folder / name)


def tell(folder, **content):
    (folder / "part").write_text(json.dumps({"noise": False, **content}))
    (folder / "part").replace(folder / "stand_in.json")


def found_by(url):
    """What a search finds: release date by observation."""
    request = json.dumps({"service": "Mast.Caom.Filtered", "params": {"filters": []}})
    reply = requests.post(f"{url}/api/v0/invoke", data={"request": request}, timeout=10)
    return {row["obs_id"]: row["t_obs_release"] for row in reply.json()["data"]}


def test_exposures_of_the_folder_are_held(folder, mast):
    tell(folder)
    assert set(found_by(mast.url)) == {"jaaa01aaq", "jaaa02aaq"}
    reply = requests.get(mast.files.mast_url("jaaa01aaq_flc.fits"), timeout=10)
    assert reply.content == (folder / "jaaa01aaq_flc.fits").read_bytes()


def test_what_is_hidden_is_released_when_the_file_says_so(folder, mast):
    tell(folder, hidden=["jaaa02"])
    assert set(found_by(mast.url)) == {"jaaa01aaq"}
    tell(folder, hidden=[], released={"jaaa02": 61000.5})
    assert found_by(mast.url)["jaaa02aaq"] == 61000.5


def test_what_is_no_longer_hidden_is_released_now(folder, mast):
    tell(folder, hidden=["jaaa02"])
    public = found_by(mast.url)["jaaa01aaq"]
    tell(folder)
    released = found_by(mast.url)
    assert released["jaaa02aaq"] == pytest.approx(40587 + time.time() / 86400, abs=0.01)
    assert released["jaaa01aaq"] == public


def test_new_files_are_taken_in_and_changed_ones_released_anew(folder, mast):
    tell(folder)
    before = found_by(mast.url)
    write(folder, "jaaa03aaq")
    write(folder, "jaaa01aaq", side_pix=64)
    time.sleep(0.3)  # the folder is looked at five times a second
    after = found_by(mast.url)
    assert set(after) == {"jaaa01aaq", "jaaa02aaq", "jaaa03aaq"}
    assert after["jaaa01aaq"] > before["jaaa01aaq"]
    reply = requests.get(mast.files.mast_url("jaaa01aaq_flc.fits"), timeout=10)
    assert reply.content == (folder / "jaaa01aaq_flc.fits").read_bytes()


def test_a_hidden_visit_stays_hidden_when_files_arrive(folder, mast):
    tell(folder, hidden=["jaaa03"])
    found_by(mast.url)
    write(folder, "jaaa03aaq")
    time.sleep(0.3)
    assert "jaaa03aaq" not in found_by(mast.url)


def test_half_a_file_is_waited_for(folder, mast):
    tell(folder)
    whole = tiny_exposure("jaaa03aaq", "acs_wfc", RA, DEC)["jaaa03aaq_flc.fits"]
    (folder / "jaaa03aaq_flc.fits").write_bytes(whole[:1000])
    assert "jaaa03aaq" not in found_by(mast.url)
    (folder / "jaaa03aaq_flc.fits").write_bytes(whole)
    time.sleep(0.3)
    assert "jaaa03aaq" in found_by(mast.url)


def test_names_rights_and_faults(folder, mast):
    tell(
        folder,
        names={"SN 2031a": [RA, DEC]},
        data_rights={"jaaa01": "EXCLUSIVE_ACCESS"},
        tokens=["secret"],
        faults=[{"route": "whoami", "word": "503", "times": 2}],
        file_faults={"jaaa02aaq_flc.fits": ["503"]},
    )
    found_by(mast.url)
    statuses = [requests.get(f"{mast.url}/whoami", timeout=10).status_code for _ in range(3)]
    assert statuses == [503, 503, 200]
    known = requests.get(f"{mast.sesame_url}SNV?SN%202031a", timeout=10).text
    assert f"%J {RA:.8f}" in known

    def status(name, **headers):
        return requests.get(mast.files.mast_url(name), headers=headers, timeout=10).status_code

    assert status("jaaa01aaq_flc.fits") == 401
    assert status("jaaa01aaq_flc.fits", Authorization="token secret") == 200
    assert [status("jaaa02aaq_flc.fits") for _ in range(2)] == [503, 200]


def test_it_runs_as_a_process(folder):
    tell(folder, hidden=["jaaa02"])
    process = subprocess.Popen(
        [sys.executable, "-m", "hst_assets_tests.stand_ins.mast", "--folder", str(folder)],
        cwd=CHECKOUT,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            url = process.stdout.readline().strip()
            said = json.loads((folder / "stand_in_address.json").read_text())
            assert (said["url"], said["pid"]) == (url, process.pid)
            assert set(found_by(said["mast_url"])) == {"jaaa01aaq"}
            tell(folder)
            assert set(found_by(url)) == {"jaaa01aaq", "jaaa02aaq"}
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0

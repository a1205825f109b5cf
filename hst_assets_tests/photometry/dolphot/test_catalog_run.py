"""DOLPHOT's run on a target: what it is given, what is kept of it, and when it is run again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hst_assets.failures import (
    BadConfiguration,
    MissingProduct,
    MissingTool,
    NoReply,
    OutOfMemory,
    TimedOut,
    ToolFailed,
    UnusableInput,
)
from hst_assets.photometry.dolphot.catalog_run import make_dolphot_catalog
from hst_assets.provenance import WouldBeMade, read_record
from hst_assets.settings import load_settings, write_settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.photometry.dolphot import small_field as field
from hst_assets_tests.stand_ins.dolphot_program import (
    ENDINGS,
    DolphotProgram,
    Play,
    good_play,
    recorded,
)


@pytest.fixture
def program(tmp_path, monkeypatch):
    program = DolphotProgram(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(program.folder))
    return program


@pytest.fixture
def workdir(tmp_path):
    return field.small_field(tmp_path / "root")


def run(workdir, **more):
    return make_dolphot_catalog(workdir, load_settings(workdir), **more)


# ----------------------------------------------------------------------------- a run that ends well


def test_all_files_are_kept_as_they_were_written(workdir, program):
    made = run(workdir)
    for ending in (*ENDINGS, ".output"):
        assert (workdir.dolphot / f"dp0000{ending}").read_text() == recorded(ending)
    assert (workdir.dolphot / "dp0000.2.res.fits").read_text() == "res 2\n"
    listed = {Path(name).name for name in made.record.outputs}
    assert listed == {path.name for path in workdir.dolphot.glob("dp0000*")} - {
        "dp0000.provenance.json"
    }
    assert "dp0000.param" in listed


def test_its_facts_are_those_of_the_run(workdir, program):
    facts = run(workdir).facts
    # Counted in the recorded output by eye: "68 stars written; 52 stars deleted".
    assert (facts["n_stars"], facts["n_deleted"], facts["n_columns"]) == (68, 52, 45)
    assert (facts["mode"], facts["n_images"], facts["n_problems"]) == ("generic", 2, 0)
    assert "NegSky" in facts["unknown_parameters"]
    assert [warning["kind"] for warning in facts["warnings"]][:2] == [
        "few_alignment_stars",
        "few_psf_stars",
    ]
    assert facts["libraries_not_found"] is None  # where they would lie is not known


def test_it_runs_in_a_folder_of_its_own_with_relative_names_and_no_input(workdir, program):
    run(workdir)
    (seen,) = program.runs
    assert seen["arguments"] == ["dp0000", "-pdp0000.param"]
    assert Path(seen["cwd"]).parent == workdir.runfiles
    assert not Path(seen["cwd"]).exists()
    assert "iaaa01a1q_flc.chip1.fits" in seen["files"]
    assert "iaaa01a1q_flc.chip1.sky.fits" in seen["files"]
    assert seen["stdin"] == ""


def test_long_names_get_short_ones(workdir, program):
    rows = field.rows_of(workdir)
    long = f"inputs/{'x' * 70}.fits"
    (workdir.dolphot / rows[0]["file"]).rename(workdir.dolphot / long)
    rows[0]["file"] = long
    field.write_inputs(workdir, rows)
    run(workdir)
    assert "reference.chip0.fits" in program.runs[0]["files"]
    assert "img0000_file = reference.chip0\n" in (workdir.dolphot / "dp0000.param").read_text()


def test_progress_reaches_its_listener_and_never_goes_back(workdir, program):
    heard = []
    run(workdir, progress=heard.append)
    fractions = [progress.fraction for progress in heard]
    assert fractions == sorted(fractions)
    assert [heard[-1].step, fractions[-1]] == ["done", 1.0]


def test_the_name_of_the_files_is_the_users(workdir, program):
    write_settings(workdir, {"dolphot": {"base": "deep"}})
    run(workdir)
    assert (workdir.dolphot / "deep0000.columns").is_file()


def test_threads_are_those_of_the_machine(workdir, program):
    write_settings(workdir, {"machine": {"dolphot_threads": 7}})
    run(workdir)
    assert program.runs[0]["threads"] == "7"


# ----------------------------------------------------------------------------- when it is run again


def test_what_is_up_to_date_is_not_run_again(workdir, program):
    first = run(workdir)
    again = run(workdir)
    assert (first.ran, again.ran, len(program.runs)) == (True, False, 1)
    assert again.digest == first.digest
    assert run(workdir, redo=True).ran


@pytest.mark.parametrize(
    ("section", "key", "value", "is_remade"),
    [
        ("dolphot", "SigFinal", 4.0, True),
        ("dolphot", "images", {"iaaa01a1q": {"RAper": 4}}, True),
        ("dolphot", "FakeMatch", 2.0, False),
        ("machine", "dolphot_timeout_s", 99.0, False),
    ],
)
def test_a_changed_parameter_makes_it_again(workdir, program, section, key, value, is_remade):
    run(workdir)
    write_settings(workdir, {section: {key: value}})
    assert run(workdir).ran is is_remade


def test_another_program_makes_it_again_and_says_so(workdir, program):
    run(workdir)
    program.path.write_text(program.path.read_text() + "\n# another build\n")
    made = run(workdir)
    assert made.ran
    assert "dolphot" in made.why


def test_changed_inputs_make_it_again(workdir, program):
    run(workdir)
    rows = field.rows_of(workdir)
    rows[2] |= {"used": False, "reason": "for this test"}
    field.write_inputs(workdir, rows)
    made = run(workdir)
    assert made.ran
    assert made.facts["n_images"] == 1


def test_an_exposure_that_failed_and_was_made_since_makes_it_again(workdir, program):
    """The inputs' digest is that of what was planned, whatever failed of it for want of time."""
    rows = field.rows_of(workdir)
    late = [*rows[:2], rows[2] | {"used": False, "reason": "took too long"}]
    field.write_inputs(workdir, late, planned="both")
    assert run(workdir).facts["n_images"] == 1
    field.write_inputs(workdir, rows, planned="both")
    assert run(workdir).facts["n_images"] == 2


def test_the_libraries_of_the_program_are_part_of_the_recipe(workdir, program, tmp_path):
    root = tmp_path / "dolphot2.0"
    library = root / "wfc3" / "data" / "F814W.uvis1.psf"
    library.parent.mkdir(parents=True)
    library.write_text("one")
    write_settings(workdir, {"dolphot": {"root": str(root)}})
    assert run(workdir).facts["libraries_not_found"] == []
    assert not run(workdir).ran
    library.write_text("another")
    assert run(workdir).ran
    library.unlink()
    assert run(workdir).facts["libraries_not_found"] == ["wfc3/data/*F814W*.psf"]


def test_a_users_file_is_given_to_the_run_and_part_of_the_recipe(workdir, program):
    write_settings(workdir, {"dolphot": {"psfstars": "bright.txt"}})
    with pytest.raises(BadConfiguration, match=r"dolphot\.psfstars does not exist"):
        run(workdir)
    (workdir.base / "bright.txt").write_text("0 1 20 20\n")
    run(workdir)
    assert "psfstars.txt" in program.runs[0]["files"]
    assert "psfstars = psfstars.txt\n" in (workdir.dolphot / "dp0000.param").read_text()
    (workdir.base / "bright.txt").write_text("0 1 21 21\n")
    assert run(workdir).ran


def test_without_the_program_a_catalogue_stays_up_to_date(workdir, program):
    run(workdir)
    program.path.unlink()
    assert not run(workdir).ran
    with pytest.raises(MissingTool, match="not installed"):
        run(workdir, redo=True)
    write_settings(workdir, {"dolphot": {"SigFinal": 4.0}})
    with pytest.raises(MissingTool, match="not installed"):
        run(workdir)


def test_a_work_directory_that_is_looked_at_runs_nothing(workdir, program):
    looked_at = WorkDir(workdir.root, workdir.target, looked_at=True)
    with pytest.raises(WouldBeMade):
        run(looked_at)
    assert program.runs == []


# ----------------------------------------------------------------------------- what is in its place


def test_images_that_are_gone_go_with_their_files(workdir, program):
    run(workdir)
    leaves = {k: v for k, v in good_play().leaves.items() if not k.startswith(".2.")}
    program.will(good_play(leaves=leaves))
    run(workdir, redo=True)
    assert not (workdir.dolphot / "dp0000.2.res.fits").exists()


def test_other_files_of_the_name_are_left_alone(workdir, program):
    run(workdir)
    fakes = workdir.dolphot / "dp0000.fake"
    fakes.write_text("stars\n")
    run(workdir, redo=True)
    assert fakes.read_text() == "stars\n"


def test_a_catalogue_of_another_programs_is_put_aside(workdir, program):
    theirs = {"dp0000": "1 2 3\n", "dp0000.param": "Nimg = 1\n"}
    for name, text in theirs.items():
        (workdir.dolphot / name).write_text(text)
    run(workdir)
    kept = workdir.dolphot / "not_made_here" / "1"
    assert {path.name: path.read_text() for path in kept.iterdir()} == theirs
    run(workdir, redo=True)
    assert len(list(kept.parent.iterdir())) == 1


# ------------------------------------------------------------------------ runs that do not end well

CHIP = "** Chip 1 **\n"
#: What DOLPHOT 2.0 says and how it exits (measured), and whose fault it is.
BAD_RUNS = {
    "parameter out of range": (Play(("FitSky=0,1,2,3,4\n",)), BadConfiguration, "refuses.*FitSky"),
    "unreadable image": (
        Play(('Error reading "g3.fits"\n',), code=1),
        UnusableInput,
        "Error reading",
    ),
    "no FITS": (
        Play(("Reading FITS file g3.fits: 300x300\n",), leaves={"": "", ".info": "x\n"}),
        UnusableInput,
        "no chip",
    ),
    "sky of another size": (
        Play(("****Sky does not match the image\n",), code=255),
        UnusableInput,
        "Sky does not match",
    ),
    "no libraries": (
        Play(("Cannot open /opt/dolphot/wfc3/data/F814W.uvis1.psf\n",), code=255),
        MissingTool,
        r"F814W\.uvis1\.psf.*Install the PSF libraries",
    ),
    "diverging PSF": (
        Play((CHIP,), leaves={"": "", ".columns": recorded(".columns")}, signal=signal.SIGSEGV),
        ToolFailed,
        "SIGSEGV",
    ),
    "killed by the kernel": (Play((CHIP,), signal=signal.SIGKILL), OutOfMemory, "out of memory"),
    "stopped from outside": (Play((CHIP,), signal=signal.SIGTERM), NoReply, "SIGTERM"),
    "no memory": (Play(("Memory allocation error\n",), code=255), OutOfMemory, "Memory allocation"),
    "half a catalogue": (
        good_play(leaves={**good_play().leaves, "": recorded("")[:9000]}),
        ToolFailed,
        r"catalogue has 29 rows, DOLPHOT wrote 68",
    ),
    "no catalogue": (Play(good_play().output), ToolFailed, "0 rows, DOLPHOT wrote 68"),
    "no list of columns": (
        good_play(leaves={**good_play().leaves, ".columns": ""}),
        ToolFailed,
        "0 rows, DOLPHOT wrote 68",
    ),
    "ended in the middle": (
        good_play(output=(recorded().partition("Aperture")[0],)),
        ToolFailed,
        "before its catalogue was written",
    ),
    "no stars": (
        Play(
            (CHIP, "0 stars written; 3 stars deleted\n"),
            leaves={"": "", ".columns": recorded(".columns")},
        ),
        UnusableInput,
        "no star",
    ),
    "too many stars": (Play((CHIP, "****Too many stars\n"), code=255), ToolFailed, "SigFind"),
    "a run-time error": (
        Play((CHIP,), complaints="Numerical Recipes run-time error...\n", code=1),
        ToolFailed,
        "run-time error",
    ),
}


@pytest.mark.parametrize("name", BAD_RUNS)
def test_a_bad_run_is_no_product_and_says_whose_fault_it_is(workdir, program, name):
    play, kind, said = BAD_RUNS[name]
    program.will(play)
    with pytest.raises(kind, match=said) as caught:
        run(workdir)
    assert type(caught.value) is kind
    assert list(workdir.dolphot.glob("dp0000*")) == []
    # Its words are kept where the failure says.
    assert Path(caught.value.where).read_text() == "".join(play.output) + play.complaints


def test_a_bad_run_leaves_the_files_of_the_last_good_one_without_a_record(workdir, program):
    run(workdir)
    program.will(Play(signal=signal.SIGKILL))
    with pytest.raises(OutOfMemory):
        run(workdir, redo=True)
    assert read_record(workdir.dolphot / "dp0000") is None
    program.will(good_play())
    assert run(workdir).ran


@pytest.mark.parametrize(
    ("setting", "said"),
    [("dolphot_timeout_s", "took too long"), ("dolphot_silence_s", "printed nothing")],
)
def test_a_run_that_hangs_is_stopped_and_tried_again(workdir, program, setting, said):
    program.will(Play((CHIP,), hangs=True))
    write_settings(workdir, {"machine": {setting: 1.0}})
    with pytest.raises(TimedOut, match=f"(?s){said}.*machine.{setting}"):
        run(workdir)
    with pytest.raises(ProcessLookupError):
        os.kill(program.runs[0]["pid"], 0)
    write_settings(workdir, {"machine": {setting: 60.0}})
    program.will(good_play())
    assert run(workdir).ran


def test_a_program_that_cannot_be_executed_is_told(workdir, program):
    program.path.write_text("no program at all")
    with pytest.raises(MissingTool, match="Exec format error"):
        run(workdir)


def test_alignment_alone_is_believed_if_every_image_has_one(workdir, program):
    write_settings(workdir, {"dolphot": {"AlignOnly": 1}})
    aligned = recorded().partition("Finding stars")[0]
    info = recorded(".info").partition("PSF solution")[0]
    leaves = {"": "", ".columns": recorded(".columns"), ".warnings": ""}
    program.will(Play((aligned,), leaves={**leaves, ".info": info}))
    made = run(workdir)
    assert (made.facts["n_stars"], "alignment" in made.facts["note"]) == (0, True)
    program.will(Play((aligned,), leaves={**leaves, ".info": info.rstrip().rpartition("\n")[0]}))
    with pytest.raises(ToolFailed, match="alignment of 1 of 2 images"):
        run(workdir, redo=True)


# ------------------------------------------------------------------------------ inputs and settings


def test_a_missing_program_says_how_it_is_installed(workdir, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool, match=r"americano\.dolphinsim\.com"):
        run(workdir)
    write_settings(workdir, {"dolphot": {"program": "nowhere/dolphot"}})
    with pytest.raises(MissingTool, match=r"dolphot\.program"):
        run(workdir)


def test_inputs_without_a_record_are_not_used(workdir, program):
    workdir.record(workdir.dolphot_inputs).unlink()
    with pytest.raises(MissingProduct, match="not finished"):
        run(workdir)


def test_damaged_inputs_are_found_before_the_run(workdir, program):
    path = workdir.dolphot / "inputs" / "iaaa01a2q_flc.chip1.fits"
    path.write_bytes(path.read_bytes()[:30000])
    with pytest.raises(UnusableInput, match=r"iaaa01a2q_flc\.chip1\.fits"):
        run(workdir)
    assert program.runs == []


# ------------------------------------------------------------------------------- death, and reality

_CALLER = """
import sys
from pathlib import Path
from hst_assets.photometry.dolphot.catalog_run import make_dolphot_catalog
from hst_assets.settings import load_settings
from hst_assets.workdir import WorkDir
workdir = WorkDir(Path(sys.argv[1]), "field")
make_dolphot_catalog(workdir, load_settings(workdir))
"""


def test_dolphot_dies_with_a_killed_caller_and_the_next_run_makes_the_same(workdir, program):
    program.will(good_play(hangs=True))
    caller = subprocess.Popen([sys.executable, "-c", _CALLER, str(workdir.root)])
    wait_for(lambda: program.runs)
    caller.kill()
    caller.wait()
    pid = program.runs[0]["pid"]
    wait_for(lambda: not is_alive(pid))
    assert list(workdir.dolphot.glob("dp0000*")) == []
    program.will(good_play())
    assert run(workdir).ran
    assert (workdir.dolphot / "dp0000").read_text() == recorded("")
    # The scratch folder of the dead one is swept.
    assert [path for path in workdir.runfiles.iterdir() if path.is_dir()] == []


def wait_for(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.slow
def test_the_real_program_measures_the_stars_of_the_field(workdir):
    """Only where DOLPHOT is; without the data of its WFC3 module it is no use here."""
    found = shutil.which("dolphot")
    if found is None:
        pytest.skip("no dolphot on the PATH")
    try:
        made = run(workdir)
    except MissingTool as error:
        pytest.skip(f"{found} lacks its data: {error.what}")
    rows = np.loadtxt(workdir.dolphot / "dp0000")
    assert rows.shape == (made.facts["n_stars"], made.facts["n_columns"])
    x, y, counts = field.truth()
    bright = np.argsort(counts)[-10:]
    # DOLPHOT's positions are numpy's and half a pixel; the brightest stars have S/N > 100, which
    # on a FWHM of 2.6 is 0.02 pixel; neighbours in the small field add to that.
    offsets = np.hypot(
        rows[:, 2] - 0.5 - x[bright, np.newaxis], rows[:, 3] - 0.5 - y[bright, np.newaxis]
    ).min(axis=1)
    assert np.median(offsets) < 0.05
    files = [path for path in workdir.dolphot.glob("dp0000*") if path.suffix != ".json"]
    first = {path.name: path.read_bytes() for path in files}
    again = run(workdir, redo=True)
    assert again.ran
    second = {name: (workdir.dolphot / name).read_bytes() for name in first}
    assert {name for name in first if first[name] != second[name]} == set()
    json.dumps(again.facts, allow_nan=False)

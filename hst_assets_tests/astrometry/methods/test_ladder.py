"""The ladder of methods with methods that say what they are told to."""

import ast
import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.astrometry.absolute.stars import star_table
from hst_assets.astrometry.alignment_result import AlignmentResult, ExposureToAlign
from hst_assets.astrometry.gate import FitNumbers
from hst_assets.astrometry.methods import registry as methods
from hst_assets.astrometry.methods.ladder import Onto, align_in_turn
from hst_assets.astrometry.methods.registry import METHODS, Method, methods_named
from hst_assets.failures import BadConfiguration, OutOfMemory, ToolFailed
from hst_assets.settings import AlignmentSettings, Settings
from hst_assets.simulate.truth import true_offset
from hst_assets.workdir import WorkDir

ALL = ("tweakreg", "jhat", "catalog")


def numbers(rms=0.1, contrast=10.0):
    values = dict.fromkeys(FitNumbers.__dataclass_fields__, math.nan)
    return FitNumbers(**{**values, "n_matches": 20, "rms_x": rms, "rms_y": rms,
                         "contrast": contrast})  # fmt: skip


class Answers:
    """Stand-ins for the methods; `says` has a list of outcomes by method, one a target."""

    def __init__(self, monkeypatch, tmp_path):
        self.says = {}
        self.called = []
        self.workdir = WorkDir(tmp_path, "field").create()
        self.scratch = tmp_path / "scratch"
        self.scratch.mkdir()
        self.raws = []
        for number in range(2):
            path = self.workdir.raw / f"iaaa01a{number}q_flc.fits"
            fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(name="SCI")]).writeto(path)
            self.raws.append(path)
        for name, row in list(METHODS.items()):
            monkeypatch.setitem(METHODS, name, _StandIn(self, name, row))

    def align(self, *names, n_targets=1, absolute=True):
        targets = [ExposureToAlign(raw, raw.name[:9], "wfc3_uvis") for raw in self.raws[:n_targets]]
        onto = Onto(self.workdir.base / "stars.ecsv", self.workdir.base / "absolute.ecsv")
        if not absolute:
            onto = Onto(self.workdir.base / "stars.ecsv", None, "the frame is not absolute")
        return align_in_turn(
            targets,
            onto,
            settings=Settings(alignment=AlignmentSettings(align_with=names)),
            workdir=self.workdir,
            scratch=self.scratch,
            stage="test",
        )


class _StandIn(Method):
    def __init__(self, answers, name, row):
        super().__init__(name, "nowhere:align_exposure", absolute=row.absolute)
        object.__setattr__(self, "answers", answers)

    def align(self, exposures, catalogue, *, settings, workdir, scratch, stage):
        self.answers.called.append((self.name, [e.rootname for e in exposures], catalogue.name))
        assert scratch.is_dir()
        return self.answers.says[self.name][: len(exposures)]


def outcome(method, status, *, reason="", failure=None, **values):
    fit = numbers(**values) if status != "SKIPPED" else None
    tries = ({"threshold_sigma": 10.0, "status": status},)
    return AlignmentResult((), status, method, reason, fit, tries, failure=failure)


@pytest.fixture
def answers(monkeypatch, tmp_path):
    return Answers(monkeypatch, tmp_path)


def test_the_first_pass_wins_and_ends_the_ladder(answers):
    answers.says = {"tweakreg": [outcome("tweakreg", "PASS")]}
    (result,) = answers.align(*ALL)
    assert (result.status, result.method) == ("PASS", "tweakreg")
    assert [name for name, *_ in answers.called] == ["tweakreg"]


@pytest.mark.parametrize("first", ["FAIL", "COMPROMISED"])
def test_what_has_not_passed_goes_to_the_next_method(answers, first):
    answers.says = {
        "tweakreg": [outcome("tweakreg", first, reason="few")],
        "catalog": [outcome("catalog", "PASS")],
    }
    (result,) = answers.align("tweakreg", "catalog")
    assert (result.status, result.method, result.reason) == ("PASS", "catalog", "")
    assert [(each["method"], each["status"]) for each in result.tries] == [
        ("tweakreg", first),
        ("catalog", "PASS"),
    ]


def test_the_order_is_that_of_the_settings(answers):
    answers.says = {
        "tweakreg": [outcome("tweakreg", "PASS")],
        "catalog": [outcome("catalog", "FAIL")],
    }
    (result,) = answers.align("catalog", "tweakreg")
    assert result.method == "tweakreg"
    assert [name for name, *_ in answers.called] == ["catalog", "tweakreg"]


def test_only_exposures_that_have_not_passed_go_on(answers):
    answers.says = {
        "tweakreg": [outcome("tweakreg", "PASS"), outcome("tweakreg", "FAIL")],
        "jhat": [outcome("jhat", "PASS")],
    }
    first, second = answers.align("tweakreg", "jhat", n_targets=2)
    assert (first.method, second.method) == ("tweakreg", "jhat")
    assert answers.called[1][1] == ["iaaa01a1q"]


def test_each_method_is_given_its_own_catalogue(answers):
    answers.says = {name: [outcome(name, "FAIL")] for name in ALL}
    answers.align(*ALL)
    assert [catalogue for *_, catalogue in answers.called] == [
        "stars.ecsv",
        "stars.ecsv",
        "absolute.ecsv",
    ]


def test_without_a_pass_the_best_compromise_is_taken(answers):
    answers.says = {
        "tweakreg": [outcome("tweakreg", "COMPROMISED", rms=0.7, reason="RMS 0.70")],
        "jhat": [outcome("jhat", "COMPROMISED", rms=0.6, reason="RMS 0.60")],
        "catalog": [outcome("catalog", "FAIL", rms=0.1)],
    }
    (result,) = answers.align(*ALL)
    assert (result.status, result.method, result.reason) == ("COMPROMISED", "jhat", "RMS 0.60")
    assert len(result.tries) == 3


def test_a_failure_of_all_tells_what_each_said(answers):
    answers.says = {
        "tweakreg": [outcome("tweakreg", "FAIL", reason="3 matches", contrast=1.0)],
        "catalog": [outcome("catalog", "FAIL", reason="too few", contrast=2.0)],
    }
    (result,) = answers.align("tweakreg", "catalog")
    assert result.status == "FAIL"
    assert result.reason == "tweakreg: 3 matches; catalog: too few"
    assert result.numbers.contrast == 2.0  # the most telling of the failures


def test_one_method_alone_says_what_it_always_said(answers):
    answers.says = {"tweakreg": [outcome("tweakreg", "FAIL", reason="3 matches")]}
    (result,) = answers.align("tweakreg")
    assert result.reason == "3 matches"


def test_a_fault_of_the_machine_does_not_block_another_method(answers):
    answers.says = {
        "tweakreg": [outcome("tweakreg", "FAIL", failure=ToolFailed("it hung"))],
        "catalog": [outcome("catalog", "PASS")],
    }
    (result,) = answers.align("tweakreg", "catalog")
    assert (result.status, result.failure) == ("PASS", None)
    assert result.tries[0]["reason"] == "it hung"


@pytest.mark.parametrize("other", ["FAIL", "COMPROMISED"])
def test_a_fault_of_the_machine_counts_where_nothing_passes(answers, other):
    answers.says = {
        "tweakreg": [outcome("tweakreg", "FAIL", failure=OutOfMemory("was killed"))],
        "catalog": [outcome("catalog", other)],
    }
    (result,) = answers.align("tweakreg", "catalog")
    assert isinstance(result.failure, OutOfMemory)


def test_the_catalogue_is_passed_over_on_a_frame_that_is_not_absolute(answers):
    answers.says = {"tweakreg": [outcome("tweakreg", "FAIL", reason="3 matches")]}
    (result,) = answers.align("catalog", "tweakreg", absolute=False)
    assert [name for name, *_ in answers.called] == ["tweakreg"]
    assert result.reason == ("catalog: not used: the frame is not absolute; tweakreg: 3 matches")
    assert len(result.tries) == 1  # what was passed over was not tried


def test_the_catalogue_alone_on_such_a_frame_is_a_failure_with_the_archives_wcs(answers):
    (result,) = answers.align("catalog", absolute=False)
    assert (result.status, result.method) == ("FAIL", "catalog")
    assert result.reason == "not used: the frame is not absolute"
    assert result.files[0].read_bytes() == answers.raws[0].read_bytes()


def test_a_method_whose_package_is_missing_names_the_extra(monkeypatch):
    monkeypatch.setattr(methods.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadConfiguration, match=r"needs the package 'jhat'.*hst_assets\[jhat\]"):
        methods_named(("tweakreg", "jhat"))
    assert [method.name for method in methods_named(("catalog", "tweakreg"))] == [
        "catalog",
        "tweakreg",
    ]


@pytest.mark.parametrize("name", ALL)
def test_every_method_of_the_settings_has_its_task(name):
    # Only read: importing JHAT's would take this process off the network.
    module, _, function = METHODS[name].task.partition(":")
    source = Path(importlib.util.find_spec(module).origin).read_text()
    defined = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    assert function in defined


@pytest.mark.slow
@pytest.mark.xdist_group("astrometry_lone")
@pytest.mark.parametrize(
    ("names", "winner"),
    [(("tweakreg", "catalog"), "catalog"), (("catalog", "tweakreg"), "tweakreg")],
)
def test_a_real_exposure_goes_on_to_the_method_that_passes(lone, tmp_path, names, winner):
    """The first method is given a sky 3 arcmin off, the second the true one."""
    true = lone.truth.positions(lone.rootname)
    true.sort("counts", reverse=True)
    wrong = true.copy()
    wrong["dec"] += 0.05
    given = {name: true if name == winner else wrong for name in names}
    star_table({name: given["catalog"][name] for name in ("ra", "dec")}).write(
        tmp_path / "absolute.ecsv", format="ascii.ecsv"
    )
    given["tweakreg"]["ra", "dec"].write(tmp_path / "stars.ecsv", format="ascii.ecsv")
    (result,) = align_in_turn(
        [ExposureToAlign(lone.raw, lone.rootname, "wfc3_uvis")],
        Onto(tmp_path / "stars.ecsv", tmp_path / "absolute.ecsv"),
        settings=Settings(alignment=AlignmentSettings(align_with=names, max_tries=2)),
        workdir=lone.workdir,
        scratch=tmp_path,
        stage="test",
    )
    assert (result.status, result.method) == ("PASS", winner), result.reason
    assert [each["method"] for each in result.tries] == [names[0], names[0], winner]
    left = true_offset(result.files[0], true)
    # 0.1 px a star over about 100 stars: 0.01 px.
    assert np.hypot(left.east_arcsec, left.north_arcsec) < 0.05 * 0.0396

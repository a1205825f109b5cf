import pickle

import pytest

from hst_assets import failures
from hst_assets.failures import (
    DiskFull,
    HstAssetsError,
    MachineFailure,
    NoOverlap,
    TimedOut,
    ToolFailed,
    UnusableInput,
    UnusableReference,
    failure_named,
    machines_kind,
    shared_kind,
)

FAILED = ToolFailed(
    "it hung", where="a.log", next_step="Look there", log_tail=["Traceback", "no such file"]
)


def test_the_message_ends_with_the_last_lines_of_the_log_and_what_to_do() -> None:
    assert str(FAILED) == (
        "a.log: it hung; its last lines:\n  Traceback\n  no such file. Look there"
    )


def test_a_sentence_of_a_library_ends_with_its_own_full_stop() -> None:
    error = UnusableInput("ECSV header line not found.", next_step="See the guide")
    assert str(error) == "ECSV header line not found. See the guide"


def test_the_brief_message_has_no_lines_of_the_log() -> None:
    assert FAILED.brief == "a.log: it hung. Look there"


def test_on_one_line_there_is_the_last_line_of_the_log_alone() -> None:
    error = ToolFailed("it\n hung", next_step="Look there", log_tail=["Traceback", "no  file", " "])
    assert error.one_line == "it hung; its log ends: no file. Look there"


def test_without_a_log_both_messages_are_one() -> None:
    error = UnusableInput("too few stars", where="x_flc.fits")
    assert str(error) == error.brief == "x_flc.fits: too few stars"


def test_a_failure_comes_whole_from_another_process() -> None:
    copy = pickle.loads(pickle.dumps(FAILED))
    assert type(copy) is ToolFailed
    assert (str(copy), copy.brief, copy.log_tail) == (str(FAILED), FAILED.brief, FAILED.log_tail)


@pytest.mark.parametrize("name", [name for name in failures.__all__ if name[0].isupper()])
def test_every_failure_is_known_by_its_name(name) -> None:
    assert failure_named(name) is getattr(failures, name)
    assert issubclass(failure_named(name), HstAssetsError)


def test_a_name_that_is_none_of_the_vocabulary_is_a_tool_s() -> None:
    assert failure_named("ValueError") is ToolFailed


def test_images_without_overlap_are_input_of_no_use() -> None:
    assert issubclass(NoOverlap, UnusableInput)


def test_exposures_that_cannot_make_the_reference_are_input_of_no_use() -> None:
    assert issubclass(UnusableReference, UnusableInput)


@pytest.mark.parametrize(
    ("kinds", "shared"),
    [
        ([], None),
        ([DiskFull, DiskFull], DiskFull),
        ([DiskFull, TimedOut], MachineFailure),
        ([DiskFull, ToolFailed], None),
        ([ToolFailed], None),
    ],
)
def test_what_the_machine_did_has_one_kind_unless_something_else_failed_too(kinds, shared) -> None:
    assert machines_kind(kinds) is shared


def test_several_failures_are_told_as_one() -> None:
    assert shared_kind([UnusableInput, UnusableInput]) is UnusableInput
    assert shared_kind([DiskFull, TimedOut]) is MachineFailure
    assert shared_kind([DiskFull, UnusableInput]) is ToolFailed
    assert shared_kind([]) is ToolFailed

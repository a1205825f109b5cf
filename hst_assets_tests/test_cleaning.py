from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from hst_assets.cleaning import clean
from hst_assets.failures import TransientFailure
from hst_assets.imaging.plan import STAGE
from hst_assets.provenance import Recipe, Result, make
from hst_assets.workdir import WorkDir

#: Stages whose products in workspace/ are made again when they are needed.
WORKING_COPIES = {"aligned_exposure": "aligned working copies", STAGE: "drizzled images of visits"}


@pytest.fixture
def workdir(tmp_path: Path) -> WorkDir:
    return WorkDir(tmp_path, "sn1").create()


def product(workdir: WorkDir, path: Path, stage: str, size: int = 1000) -> Path:
    def write() -> Result:
        path.write_bytes(b"x" * size)
        WorkDir.preview(path).write_bytes(b"p" * 10)
        return Result((path, WorkDir.preview(path)))

    make(Recipe(stage, "1", {"of": path.name}), path, workdir, write)
    return path


def files(workdir: WorkDir) -> set[str]:
    return {
        str(path.relative_to(workdir.base))
        for path in workdir.base.rglob("*")
        if path.is_file() and path.suffix not in {".lock"}
    }


def test_nothing_to_clean_frees_nothing(workdir: WorkDir) -> None:
    assert clean(workdir, working_copies=WORKING_COPIES) == []


def test_kept_scratch_products_and_dead_folders_are_removed(workdir: WorkDir) -> None:
    for folder in ("artifacts.drizzle.sn1", "drizzle.x.abc"):
        (workdir.runfiles / folder).mkdir()
        (workdir.runfiles / folder / "big.fits").write_bytes(b"x" * 5000)
    (workdir.runfiles / "drizzle.x.abc.alive").touch()
    (workdir.drizzle / ".part.77.stack.fits").write_bytes(b"x" * 300)
    stack = product(workdir, workdir.drizzle / "stack.drc.fits", STAGE)
    sizes = {kind.what: (kind.n_items, kind.size_bytes) for kind in clean(workdir)}
    assert sizes == {
        "intermediate files of AstroDrizzle": (1, 5000),
        "scratch folders of killed runs": (1, 5000),
        "unfinished files": (1, 300),
    }
    assert {name for name in files(workdir) if "provenance" not in name} == {
        str(path.relative_to(workdir.base))
        for path in (stack, WorkDir.preview(stack), workdir.former_digests)
    }


def test_logs_go_when_they_are_old_and_only_when_asked_for(workdir: WorkDir) -> None:
    old, young = workdir.logs / "drizzle_a.log", workdir.logs / "drizzle_b.log"
    for path, written_at in ((old, 1000.0), (young, 3000.0)):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 200)
        os.utime(path, (written_at, written_at))
    assert clean(workdir) == []
    (freed,) = clean(workdir, logs_before=2000.0)
    assert (freed.what, freed.n_items, freed.size_bytes) == ("logs", 1, 200)
    assert [young.exists(), old.exists()] == [True, False]


def test_working_copies_go_only_when_asked_for(workdir: WorkDir) -> None:
    aligned = product(workdir, workdir.aligned("iaaa01a1q_flc.fits"), "aligned_exposure")
    visit = product(workdir, workdir.visit_drizzle("iaaa01", "acs_wfc.f606w"), STAGE)
    stack = product(workdir, workdir.drizzle / "stack.drc.fits", STAGE)
    table = product(workdir, workdir.visit_alignment("iaaa01"), "aligned_exposures")
    mine = workdir.workspace / "mine.fits"
    mine.write_text("not made here")
    before = files(workdir)
    assert clean(workdir) == []
    assert files(workdir) == before
    freed = clean(workdir, working_copies=WORKING_COPIES)
    assert {kind.what: kind.n_items for kind in freed} == {
        "aligned working copies": 1,
        "drizzled images of visits": 1,
    }
    assert not aligned.exists()
    assert not visit.exists()
    assert not WorkDir.record(visit).exists()
    assert stack.is_file()
    assert table.is_file()
    assert mine.is_file()


def test_star_lists_and_matches_stay(workdir: WorkDir) -> None:
    copy = workdir.aligned("iaaa01a1q_flc.fits")
    matches = workdir.exposure_matches("iaaa01a1q")
    stars = workdir.workspace / "iaaa01a1q_sci1.coo"

    def write() -> Result:
        for path in (copy, matches, stars):
            path.write_bytes(b"x" * 100)
        return Result((copy, matches, stars))

    make(Recipe("aligned_exposure", "1", {}), copy, workdir, write)
    clean(workdir, working_copies=WORKING_COPIES)
    assert not copy.exists()
    assert matches.is_file()
    assert stars.is_file()


def test_a_file_with_another_name_frees_nothing(workdir: WorkDir) -> None:
    visit = product(workdir, workdir.visit_drizzle("iaaa01", "acs_wfc.f606w"), STAGE)
    for path in (visit, WorkDir.preview(visit)):
        os.link(path, workdir.drizzle / path.name)
    record = WorkDir.record(visit).stat().st_size
    (kind,) = clean(workdir, working_copies=WORKING_COPIES)
    assert kind.size_bytes == record
    assert (workdir.drizzle / visit.name).stat().st_size == 1000


@pytest.mark.parametrize("name", ["drizzled_stacks.lock", "drizzle.x.abc.alive"])
def test_nothing_is_removed_while_a_run_is_in_flight(workdir: WorkDir, name: str) -> None:
    kept = workdir.runfiles / "artifacts.drizzle.sn1"
    kept.mkdir()
    with (workdir.runfiles / name).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(TransientFailure, match="a run is in flight"):
            clean(workdir)
        assert kept.is_dir()
    clean(workdir)
    assert not kept.exists()


def test_no_scratch_folder_is_opened_meanwhile(workdir: WorkDir) -> None:
    lock = workdir.runfiles / "scratch.lock"
    with workdir.alone(), lock.open("w") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)

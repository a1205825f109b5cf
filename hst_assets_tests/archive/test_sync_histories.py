"""Whatever happened before, the next delivery ends with what the archive has."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hst_assets.archive.fetch_history import read_fetch_history
from hst_assets.archive.sync import outstanding
from hst_assets.exposures.raw import check_raw, raw_ledger
from hst_assets_tests.archive.small_archive import SmallArchive, failures

VISIT = "ueee05"
ROOTNAMES = (f"{VISIT}ijm", f"{VISIT}ikm")
NAMES = tuple(f"{rootname}_{suffix}.fits" for rootname in ROOTNAMES for suffix in ("c0m", "c1m"))
SIDES_PIX = (40, 41, 64)


def rerelease(archive, step, which):
    """Other pixels: of the same size, perhaps with another release, or of another size."""
    archive.add(
        ROOTNAMES[which % 2],
        "wfpc2",
        salt=step,
        side_pix=SIDES_PIX[which % 3],
        release=59000.0 + which % 2,
    )


def damage(archive, step, which):
    path = archive.workdir.raw / NAMES[which % 4]
    if path.exists():
        path.chmod(0o644)
        with path.open("r+b") as handle:
            handle.seek(3000 + step)
            handle.write(b"junk")


def remove(archive, step, which):
    (archive.workdir.raw / NAMES[which % 4]).unlink(missing_ok=True)


def fault(archive, step, which):
    word = ("503", "reset:4000", "wrong_bytes:100", "404", "html")[which % 5]
    archive.files.faults.setdefault(NAMES[step % 4], []).append(word)


def sync_visit(archive, step, which):
    archive.sync_visit(VISIT, refetch=which % 4 == 0)


OPERATIONS = (rerelease, damage, remove, fault, sync_visit)


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 59)), min_size=1, max_size=10),
    st.booleans(),
)
def test_any_history_ends_well(tmp_path_factory, history, with_tree):
    folder = tmp_path_factory.mktemp("history")
    with SmallArchive(folder).running() as archive:
        archive.archive_settings |= {"recheck_after_days": 0, "first_wait_s": 0.001}
        if with_tree:
            archive.archive_settings["tree"] = str(folder / "tree")
        for rootname in ROOTNAMES:
            archive.add(rootname, "wfpc2")
        archive.sync_visit(VISIT)
        for step, (operation, which) in enumerate(history, start=1):
            operation(archive, step, which)
        archive.files.faults.clear()
        assert failures(archive.sync_visit(VISIT)) == {}
        assert archive.in_raw() == archive.as_served()
        check_raw(archive.workdir, full=True)
        origins = read_fetch_history(archive.workdir)
        assert {each.sha256 for each in origins.files.values()} == {
            file.sha256 for file in raw_ledger(archive.workdir)
        }
        assert origins.refused == {}
        assert outstanding(archive.workdir, archive.listing()) == {}
        assert list(archive.workdir.staging.iterdir()) == []

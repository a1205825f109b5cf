"""Exposures that come packed."""

import gzip
import os

import pytest

from hst_assets.exposures import ingest as ingest_module
from hst_assets.exposures import sources as sources_module
from hst_assets.exposures.dq_files import quality_file
from hst_assets.exposures.ingest import ingest
from hst_assets_tests.exposures.ingested import names, raw_bytes, reasons


def _packed(path):
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return packed


@pytest.mark.parametrize("mode", ["copy", "symlink", "hardlink"])
def test_a_packed_exposure_is_unpacked(exposure_file, workdir, mode):
    path = exposure_file()
    content = path.read_bytes()
    packed = _packed(path)
    report = ingest([packed.parent], workdir, mode=mode)
    assert raw_bytes(workdir) == {path.name: content}
    assert packed.is_file()
    again = ingest([packed], workdir, mode=mode)
    assert (names(again.unchanged), again.accepted) == (names(report.accepted), [])


@pytest.mark.parametrize("which", ["both", "exposure", "companion"])
def test_a_packed_pair_comes_together(exposure_file, workdir, which):
    path = exposure_file("wfpc2", n_chips=4)
    if which != "exposure":
        _packed(quality_file(path))
    if which != "companion":
        _packed(path)
    report = ingest([path.parent], workdir)
    assert report.rejected == []
    assert names(report.accepted) == ["ueee05ijm_c0m.fits", "ueee05ijm_c1m.fits"]


def test_a_packed_file_of_raw_is_adopted(exposure_file, workdir):
    path = exposure_file(folder=workdir.raw)
    packed = _packed(path)
    assert names(ingest([packed], workdir).accepted) == [path.name]


def test_a_packed_copy_of_a_file_is_a_duplicate(exposure_file, workdir):
    path = exposure_file()
    content = path.read_bytes()
    packed = _packed(path)
    path.write_bytes(content)
    report = ingest([path.parent], workdir)
    assert names(report.accepted) == [path.name]
    assert reasons(report)[packed.name].endswith("identical bytes")


def test_a_packed_file_that_was_cut_short_is_refused(exposure_file, workdir):
    packed = _packed(exposure_file())
    packed.write_bytes(packed.read_bytes()[:-20])
    assert "corrupt gzip" in reasons(ingest([packed], workdir))[packed.name]


def test_a_file_that_unpacks_to_more_than_any_exposure_is_refused(
    exposure_file, workdir, monkeypatch
):
    packed = _packed(exposure_file())
    monkeypatch.setattr(sources_module, "LARGEST_BYTES", 10_000)
    assert "unpacks to more than" in reasons(ingest([packed], workdir))[packed.name]
    assert list(workdir.staging.iterdir()) == []


def test_a_file_larger_than_any_exposure_is_not_even_copied(exposure_file, workdir, monkeypatch):
    path = exposure_file()
    os.truncate(path, 500_000_000)  # sparse
    monkeypatch.setattr(ingest_module.shutil, "copyfile", None)  # calling it would fail
    assert "it has 500 MB" in reasons(ingest([path], workdir))[path.name]


def test_fpack_files_are_named_as_such(exposure_file, workdir):
    path = exposure_file()
    packed = path.rename(path.with_name(f"{path.name}.fz"))
    told = reasons(ingest([packed.parent], workdir))[packed.name]
    assert told.startswith("it is tile-compressed (fpack)")

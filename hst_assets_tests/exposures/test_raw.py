import os
import subprocess
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.exposures.raw import (
    RawFile,
    check_raw,
    exposure_key,
    format_ledger,
    parse_ledger,
    raw_ledger,
    suffix_of,
    visits_in,
    write_ledger,
)
from hst_assets.failures import BadConfiguration, MissingProduct
from hst_assets.provenance import sha256_of_file

LETTERS = "abcdefghijklmnopqrstuvwxyz"
ROOTNAMES = st.builds(
    str.__add__,
    st.sampled_from(LETTERS),
    st.text(LETTERS + "0123456789", min_size=7, max_size=8),
)


@st.composite
def raw_files(draw):
    rootname = draw(ROOTNAMES)
    suffix = draw(st.sampled_from(["flt", "flc", "c0m", "c1m"]))
    return RawFile(
        name=f"{rootname}_{suffix}.fits",
        rootname=rootname,
        visit=rootname[:6],
        suffix=suffix,
        size=draw(st.integers(0, 2**40)),
        mtime_ns=draw(st.integers(0, 2**62)),
        sha256=draw(st.text("0123456789abcdef", min_size=64, max_size=64)),
    )


@given(st.lists(raw_files(), unique_by=lambda file: file.name))
def test_the_ledger_is_read_as_it_was_written(files):
    assert parse_ledger(format_ledger(files)) == sorted(files)


@given(st.text())
def test_no_text_makes_the_ledger_parser_fail_otherwise(text):
    with suppress(BadConfiguration):
        assert parse_ledger(format_ledger(parse_ledger(text))) == sorted(parse_ledger(text))


@given(st.lists(raw_files(), min_size=1, unique_by=lambda file: file.name), st.data())
def test_a_cut_ledger_never_gains_files(files, data):
    text = format_ledger(files)
    cut = text[: data.draw(st.integers(0, len(text)))]
    try:
        found = parse_ledger(cut)
    except BadConfiguration:
        return
    assert set(found) <= set(files)


@pytest.mark.parametrize(
    "text",
    [
        "garbage",
        "#= 1 2 idsj02axq\n",
        "#= 1 2 idsj02axq\nnot-a-sum  idsj02axq_flc.fits\n",
        "#= one 2 idsj02axq\n" + "0" * 64 + "  idsj02axq_flc.fits\n",
        "#= 1 2 IDSJ02AXQ\n" + "0" * 64 + "  idsj02axq_flc.fits\n",
        "#= 1 2 idsj02axq\n" + "0" * 64 + "  ../idsj02axq_flc.fits\n",
        "#= 1 2 idsj02axq\n" + "0" * 64 + "  no_suffix\n",
        2 * ("#= 1 2 idsj02axq\n" + "0" * 64 + "  idsj02axq_flc.fits\n"),
    ],
)
def test_a_damaged_ledger_is_an_error_that_says_what_to_do(text):
    with pytest.raises(BadConfiguration, match="Remove the ledger and ingest raw/ again"):
        parse_ledger(text, where="raw/.checksums")


def test_a_ledger_that_is_not_text_is_an_error(workdir):
    workdir.create()
    workdir.checksums.write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(BadConfiguration, match="cannot be read"):
        raw_ledger(workdir)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("idsj02axq_flc.fits", "flc"),
        ("U40X010HM_C0M.FITS", "c0m"),
        ("hst_1_2_flt.fits", "flt"),
        ("flt.fits", None),
        ("_flt.fits", None),
        ("x_flt.fits.gz", None),
        ("x_flt.fits\n", None),
        ("x_segm.fits", None),
    ],
)
def test_suffix_of_a_name(name, suffix):
    assert suffix_of(name) == suffix


def test_hap_and_archive_rootnames_name_one_exposure():
    assert exposure_key("IB4606C6") == exposure_key("ib4606c6q")


# ---------------------------------------------------------------------------- looking at raw/


@pytest.fixture
def stocked(workdir):
    """A work directory with two files of two visits in raw/ and in the ledger."""
    workdir.create()
    files = []
    for rootname in ("iaaa01abq", "ibbb02cdq"):
        path = workdir.raw / f"{rootname}_flt.fits"
        path.write_bytes(rootname.encode() * 100)
        status = path.stat()
        files.append(
            RawFile(
                name=path.name,
                rootname=rootname,
                visit=rootname[:6],
                suffix="flt",
                size=status.st_size,
                mtime_ns=status.st_mtime_ns,
                sha256=sha256_of_file(path),
            )
        )
    write_ledger(workdir, files)
    return workdir


def _touch(path):
    os.utime(path, ns=(time.time_ns(), time.time_ns() + 10**9))


def _swap_byte(path, *, keep_time):
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    path.write_bytes(content)
    stamp = status.st_mtime_ns if keep_time else status.st_mtime_ns + 10**9
    os.utime(path, ns=(stamp, stamp))


def test_visits_are_those_of_the_ledger(stocked):
    assert visits_in(stocked) == ["iaaa01", "ibbb02"]


def test_an_empty_work_directory_has_no_visits(workdir):
    assert visits_in(workdir) == []


def test_the_ledger_serves_sha256sum(stocked):
    run = subprocess.run(
        ["sha256sum", "--check", "--strict", ".checksums"],
        cwd=stocked.raw,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("full", [False, True])
def test_raw_as_it_was_passes(stocked, full):
    assert [file.visit for file in check_raw(stocked, full=full)] == ["iaaa01", "ibbb02"]


def test_a_copied_work_directory_passes_by_its_bytes(stocked):
    for path in stocked.raw.glob("*.fits"):
        _touch(path)
    assert len(check_raw(stocked)) == 2


def test_a_file_that_is_gone_is_named(stocked):
    (stocked.raw / "iaaa01abq_flt.fits").unlink()
    with pytest.raises(MissingProduct, match=r"iaaa01abq_flt.fits is gone"):
        check_raw(stocked)


def test_a_file_of_another_size_is_named(stocked):
    (stocked.raw / "iaaa01abq_flt.fits").write_bytes(b"short")
    with pytest.raises(MissingProduct, match=r"iaaa01abq_flt.fits has 5 bytes, not 900"):
        check_raw(stocked)


def test_changed_bytes_are_found_by_the_changed_time(stocked):
    _swap_byte(stocked.raw / "iaaa01abq_flt.fits", keep_time=False)
    with pytest.raises(MissingProduct, match=r"iaaa01abq_flt.fits has different bytes"):
        check_raw(stocked)


def test_changed_bytes_under_the_old_time_are_found_on_demand(stocked):
    _swap_byte(stocked.raw / "iaaa01abq_flt.fits", keep_time=True)
    assert check_raw(stocked)
    with pytest.raises(MissingProduct, match=r"iaaa01abq_flt.fits has different bytes"):
        check_raw(stocked, full=True)


def test_all_faults_are_named_at_once(stocked):
    for path in stocked.raw.glob("*.fits"):
        path.unlink()
    with pytest.raises(MissingProduct, match=r"iaaa01abq.*ibbb02cdq"):
        check_raw(stocked)


def test_the_damage_of_one_visit_does_not_touch_another(stocked):
    (stocked.raw / "iaaa01abq_flt.fits").unlink()
    assert [file.visit for file in check_raw(stocked, "ibbb02")] == ["ibbb02"]


def test_a_visit_without_files_is_an_error(stocked):
    with pytest.raises(MissingProduct, match="no verified exposure of visit jzzz99"):
        check_raw(stocked, "jzzz99")


def test_a_dangling_link_is_gone(stocked):
    path = stocked.raw / "iaaa01abq_flt.fits"
    path.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(MissingProduct, match="is gone"):
        check_raw(stocked)

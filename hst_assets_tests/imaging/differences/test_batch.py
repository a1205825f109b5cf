"""Which differences stand, which are made again, and what is written down about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.failures import BadConfiguration, MissingProduct
from hst_assets.imaging.differences import batch as differences
from hst_assets.imaging.differences.batch import judge_difference, make_differences
from hst_assets.imaging.differences.subtraction import Flag
from hst_assets.imaging.drizzle_index import DRIZZLE_COLUMNS
from hst_assets.products.columns import no_numbers, read_table
from hst_assets.provenance import Recipe, Result, make, read_record
from hst_assets.settings import DifferenceSettings, DrizzleSettings, Settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.imaging.synthetic_stacks import (
    BAND,
    FRAME,
    STARS,
    primary_header,
    write_stack,
    write_stacks,
)

OTHER = "wfc3_uvis.f814w"


@pytest.fixture
def workdir(tmp_path) -> WorkDir:
    """Three epochs in one band, the second with twice the exposure time; one epoch in another."""
    workdir = WorkDir(tmp_path, "sn").create()
    rows = [
        write_stack(workdir, 1),
        write_stack(workdir, 2, header=primary_header(4)),
        write_stack(workdir, 3),
        write_stack(workdir, 4, band=OTHER),
    ]
    write_stacks(workdir, rows)
    return workdir


def settings(template: str | int = "deepest", **drizzle: object) -> Settings:
    return Settings(
        difference=DifferenceSettings(template=template), drizzle=DrizzleSettings(**drizzle)
    )


def names(workdir: WorkDir) -> set[str]:
    return {path.name for path in workdir.drizzle.glob("*.diff_*.fits")}


def replaced(workdir: WorkDir, epoch: int, **options: object) -> None:
    """Another stack of this epoch, as if its exposures had changed."""
    table = read_table(workdir.stack_products)
    rows = [
        write_stack(workdir, int(row["epoch"]), band=str(row["band"]), **options)
        if row["epoch"] == epoch
        else {
            **no_numbers(DRIZZLE_COLUMNS),
            **{name: row[name] for name in ("file", "band", "status", "reason", "digest")},
            **{name: row[name] for name in ("problems", "not_checked", "same_as", "log")},
            "epoch": int(row["epoch"]),
            "n_exposures": int(row["n_exposures"]),
            "exptime_s": row["exptime"].to_value("s"),
            "mjd_start": row["mjd_start"].to_value("d"),
        }
        for row in table
    ]
    write_stacks(workdir, rows)


# ------------------------------------------------------------------------- what is to be made


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("deepest", {"1-2", "3-2"}),
        ("first", {"2-1", "3-1"}),
        ("last", {"1-3", "2-3"}),
        (3, {"1-3", "2-3"}),
        (4, {"1-2", "3-2"}),  # of the other band: this one has its deepest
    ],
)
def test_the_template_is_the_users_choice(workdir, template, expected) -> None:
    make_differences(workdir, settings(template))
    table = read_table(workdir.difference_products)
    assert {f"{row['epoch']}-{row['template']}" for row in table} == expected
    assert names(workdir) == {str(name).removeprefix("drizzle/") for name in table["file"]}


def test_a_template_that_no_band_has_is_refused(workdir) -> None:
    with pytest.raises(BadConfiguration, match=r"template is 9.*Epochs with a stack: 1, 2, 3, 4"):
        make_differences(workdir, settings(9))


def test_equally_deep_epochs_are_compared_with_the_first(tmp_path) -> None:
    workdir = WorkDir(tmp_path, "sn").create()
    write_stacks(workdir, [write_stack(workdir, 2), write_stack(workdir, 1)])
    make_differences(workdir, settings())
    assert names(workdir) == {f"{BAND}.diff_0002-0001.fits"}


def test_names_begin_with_the_object(workdir) -> None:
    make_differences(workdir, settings("first", object_name="sn1"))
    assert names(workdir) == {
        f"sn1.{BAND}.diff_0002-0001.fits",
        f"sn1.{BAND}.diff_0003-0001.fits",
    }


def test_a_target_with_one_epoch_has_an_empty_index(tmp_path) -> None:
    workdir = WorkDir(tmp_path, "sn").create()
    write_stacks(workdir, [write_stack(workdir, 1)])
    made = make_differences(workdir, settings())
    table = read_table(workdir.difference_products)
    assert len(table) == 0
    assert "noise_ratio" in table.colnames
    assert table.meta["single_epoch"] == [BAND]
    assert made.facts["n_differences"] == 0
    assert made.facts["single_epoch_bands"] == [BAND]


def test_without_stacks_there_is_nothing_to_subtract(tmp_path) -> None:
    with pytest.raises(MissingProduct, match="no stacks"):
        make_differences(WorkDir(tmp_path, "sn").create(), settings())


def test_a_stack_that_failed_is_no_epoch(workdir) -> None:
    table = read_table(workdir.stack_products)
    table["status"] = np.where(table["epoch"] == 2, "FAIL", table["status"])
    table.write(workdir.stack_products, format="ascii.ecsv", overwrite=True)
    make_differences(workdir, settings())
    assert names(workdir) == {f"{BAND}.diff_0003-0001.fits"}


# ------------------------------------------------------------------------------- what is in it


def test_a_product_is_legal_fits_with_checksums(workdir) -> None:
    make_differences(workdir, settings("first"))
    path = workdir.difference(BAND, 2, 1)
    with fits.open(path, checksum=True) as hdus:  # a wrong checksum warns, and warnings fail
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "ERR", "DQ"]
        assert all("CHECKSUM" in hdu.header and "DATASUM" in hdu.header for hdu in hdus)
        assert hdus["DQ"].data.dtype.kind == "i"
        assert all(hdus[name].header["BUNIT"] for name in ("PRIMARY", "SCI", "ERR", "DQ"))
        assert all(hdus[name].header["WCSNAME"] == "TWEAK" for name in ("SCI", "ERR", "DQ"))
        meanings = "".join(str(line) for line in hdus["DQ"].header["COMMENT"])
        assert all(flag.name in meanings for flag in Flag)


def test_the_header_tells_what_was_subtracted_from_what(workdir) -> None:
    make_differences(workdir, settings("first"))
    header = fits.getheader(workdir.difference(BAND, 2, 1))
    stacks = [workdir.epoch_stack(BAND, f"1412{epoch:02d}", epoch) for epoch in (2, 1)]
    assert [header["E_FILE"], header["T_FILE"]] == [path.name for path in stacks]
    assert [header["E_RECIPE"], header["T_RECIPE"]] == [read_record(path).digest for path in stacks]
    assert (header["E_EPOCH"], header["T_EPOCH"]) == (2, 1)
    assert (header["E_MJD"], header["T_MJD"]) == (57020.0, 57010.0)
    assert header["MJD-AVG"] == 57020.0
    assert (header["E_EXPT"], header["T_EXPT"]) == (1600.0, 800.0)
    assert (header["E_RDN"], header["T_GAIN"], header["E_SKY"]) == (3.0, 1.0, 0.05)
    assert header["ZPAB"] == 26.1
    assert header["RECIPE"] == read_record(workdir.difference(BAND, 2, 1)).digest
    for key in ("SKYDIFF", "SKYDERR", "NOISRAT", "NOISCORR", "REGDX", "REGERR", "FLUXRAT"):
        assert np.isfinite(header[key])


def test_an_alignment_that_was_skipped_is_told(workdir) -> None:
    header = primary_header()
    header["HIERARCH HST123 ALIGNST"] = "SKIPPED"
    header["HIERARCH HST123 ALIGNOK"] = False
    replaced(workdir, 1, header=header, content="2")
    make_differences(workdir, settings("first"))
    found = fits.getheader(workdir.difference(BAND, 2, 1))
    assert found["HST123 ALIGNST"] == "MIXED"
    assert found["HST123 ALIGNOK"] is False


def test_the_index_has_the_figures(workdir) -> None:
    made = make_differences(workdir, settings("first"))
    table = read_table(workdir.difference_products)
    assert list(table["status"]) == ["OK", "OK"]
    first = table[0]
    assert (first["epoch"], first["template"]) == (2, 1)
    assert first["noise_ratio"] == pytest.approx(1.0, abs=0.03)
    assert abs(first["residual_sky"]) < 4 * first["residual_sky_error"]
    assert first["n_stars"] == len(STARS)
    assert first["zero_point"].to_value("mag") == 26.1
    assert all((workdir.base / name).is_file() for name in made.facts["previews"])


def test_a_difference_has_the_same_bytes_wherever_it_is_made(workdir, tmp_path) -> None:
    make_differences(workdir, settings("first"))
    before = workdir.difference(BAND, 2, 1).read_bytes()
    make_differences(workdir, settings("first"), redo=True)
    assert workdir.difference(BAND, 2, 1).read_bytes() == before


def test_cosmic_rays_of_a_single_exposure_are_told(workdir) -> None:
    replaced(workdir, 1, header=primary_header(1), content="2")
    made = make_differences(workdir, settings("last"))
    notes = list(read_table(workdir.difference_products)["note"])
    assert notes == ["cosmic rays stay: one exposure of the epoch", ""]
    assert len(made.facts["notes"]) == 1


# ------------------------------------------------------------------------------- skip or run


@pytest.fixture
def subtracted(monkeypatch) -> list[str]:
    """The differences that are really made."""
    done: list[str] = []
    real = differences._subtracted

    def noted(pair, workdir):
        done.append(pair.path.name)
        return real(pair, workdir)

    monkeypatch.setattr(differences, "_subtracted", noted)
    return done


def test_nothing_changed_nothing_is_done(workdir, subtracted) -> None:
    first = make_differences(workdir, settings())
    subtracted.clear()
    second = make_differences(workdir, settings())
    assert subtracted == []
    assert (first.ran, second.ran) == (True, False)


def test_only_the_epoch_that_changed_is_made_again(workdir, subtracted) -> None:
    make_differences(workdir, settings())
    subtracted.clear()
    replaced(workdir, 3, content="2")
    make_differences(workdir, settings())
    assert subtracted == [f"{BAND}.diff_0003-0002.fits"]


def test_a_new_template_makes_all_of_its_band_again(workdir, subtracted) -> None:
    make_differences(workdir, settings())
    subtracted.clear()
    replaced(workdir, 2, header=primary_header(4), content="2")
    make_differences(workdir, settings())
    assert len(subtracted) == 2


def test_differences_that_are_no_more_are_deleted_and_foreign_files_stay(workdir) -> None:
    make_differences(workdir, settings("first"))
    foreign = workdir.drizzle / f"{BAND}.diff_mine.fits"
    foreign.write_text("not yours")
    make_differences(workdir, settings("last"))
    assert names(workdir) == {
        foreign.name,
        f"{BAND}.diff_0001-0003.fits",
        f"{BAND}.diff_0002-0003.fits",
    }
    assert not WorkDir.preview(workdir.difference(BAND, 2, 1)).exists()


def test_a_difference_that_was_removed_is_made_again(workdir, subtracted) -> None:
    make_differences(workdir, settings())
    subtracted.clear()
    workdir.difference(BAND, 1, 2).unlink()
    make_differences(workdir, settings())
    assert subtracted == [f"{BAND}.diff_0001-0002.fits"]


def test_stacks_stay_as_they_were(workdir) -> None:
    before = {path: path.read_bytes() for path in workdir.drizzle.glob("*.drc.fits")}
    make_differences(workdir, settings())
    assert {path: path.read_bytes() for path in before} == before


# ------------------------------------------------------------------------------- what is amiss


def test_epochs_without_a_common_pixel_have_a_row_with_the_reason(workdir) -> None:
    replaced(workdir, 3, frame=replace(FRAME, crpix1=FRAME.crpix1 + 400), content="2")
    made = make_differences(workdir, settings())
    table = read_table(workdir.difference_products)
    assert list(table["status"]) == ["OK", "NONE"]
    assert "no pixel in common" in table["reason"][1]
    assert made.facts["failed"] == []
    assert len(made.facts["without_overlap"]) == 1
    assert not make_differences(workdir, settings()).ran


def test_what_fails_costs_itself_and_is_tried_again(workdir) -> None:
    stack = workdir.epoch_stack(BAND, "141203", 3)
    note = WorkDir.record(stack).read_text()
    WorkDir.record(stack).unlink()
    made = make_differences(workdir, settings())
    table = read_table(workdir.difference_products)
    assert list(table["status"]) == ["OK", "FAIL"]
    assert "the record of the" in made.facts["failed"][0]
    WorkDir.record(stack).write_text(note)
    make_differences(workdir, settings())
    assert list(read_table(workdir.difference_products)["status"]) == ["OK", "OK"]


def recorded_again(path: Path, workdir: WorkDir) -> None:
    """The record of a stack, as if it had been made as it is now."""
    old = read_record(path)
    assert old is not None
    outputs = Result(tuple(old.paths(workdir)), old.facts)
    make(Recipe("drizzled_image", "1", {}), path, workdir, lambda: outputs, redo=True)


def without_card(stack: Path) -> None:
    with fits.open(stack, mode="update") as hdus:
        del hdus[0].header["MJD-AVG"]


def without_plane(stack: Path) -> None:
    with fits.open(stack, mode="update") as hdus:
        del hdus["ERR"]


@pytest.mark.parametrize(
    ("spoil", "reason"), [(without_card, "lacks MJD-AVG"), (without_plane, "plane cannot be read")]
)
@pytest.mark.parametrize("told", [True, False])
def test_a_stack_that_is_spoilt_costs_only_its_difference(
    workdir, spoil: Callable[[Path], None], reason: str, told: bool
) -> None:
    stack = workdir.epoch_stack(BAND, "141203", 3)
    spoil(stack)
    if told:
        recorded_again(stack, workdir)
    made = make_differences(workdir, settings())
    assert list(read_table(workdir.difference_products)["status"]) == ["OK", "FAIL"]
    assert (reason if told else "changed since it was made") in made.facts["failed"][0]


def test_a_record_without_the_frame_costs_only_its_difference(workdir) -> None:
    stack = workdir.epoch_stack(BAND, "141203", 3)
    note = WorkDir.record(stack)
    note.write_text(note.read_text().replace('"crpix1"', '"crpix_1"'))
    made = make_differences(workdir, settings())
    assert "does not give its frame" in made.facts["failed"][0]


def test_what_stood_under_the_name_of_a_failure_is_taken_away(workdir) -> None:
    make_differences(workdir, settings())
    replaced(workdir, 3, frame=replace(FRAME, crpix1=FRAME.crpix1 + 400), content="2")
    make_differences(workdir, settings())
    assert names(workdir) == {f"{BAND}.diff_0001-0002.fits"}


def test_stars_out_of_place_are_a_problem(workdir) -> None:
    replaced(workdir, 3, stars=[(x + 0.5, y, rate) for x, y, rate in STARS], content="2")
    made = make_differences(workdir, settings())
    assert list(read_table(workdir.difference_products)["status"]) == ["OK", "PROBLEM"]
    assert "pixel apart" in made.facts["problems"][0]


GOOD = {
    "noise_ratio": 1.0,
    "residual_sky": 0.001,
    "median_error": 0.01,
    "offset_x_pix": 0.01,
    "offset_y_pix": 0.02,
    "flux_ratio": 1.0,
}


@pytest.mark.parametrize(
    ("figures", "problem"),
    [
        ({"noise_ratio": 1.5}, "scatter 1.50 times"),
        ({"noise_ratio": 0.6}, "scatter 0.60 times"),
        ({"residual_sky": -0.008}, "skies differ by 0.80"),
        ({"offset_y_pix": 0.3}, "0.30 pixel apart"),
        ({"flux_ratio": 0.9}, "0.900 times their flux"),
    ],
)
def test_figures_beyond_the_limits_are_problems(figures, problem) -> None:
    assert judge_difference(GOOD, max_flux_error=0.05) == []
    (found,) = judge_difference({**GOOD, **figures}, max_flux_error=0.05)
    assert problem in found


def test_figures_that_could_not_be_measured_are_no_problem() -> None:
    unknown = dict.fromkeys(GOOD, None) | {"median_error": 0.01}
    assert judge_difference(unknown, max_flux_error=0.05) == []

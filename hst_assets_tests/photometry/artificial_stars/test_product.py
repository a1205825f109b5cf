"""Artificial stars of a target: what is run, what is kept, what is run again."""

import shutil

import numpy as np
import pytest
from astropy.table import QTable

from hst_assets.failures import MissingProduct, ToolFailed, UnusableInput
from hst_assets.photometry.artificial_stars.product import make_artificial_stars
from hst_assets.photometry.catalog.writing import write_catalog
from hst_assets.photometry.dolphot.catalog_run import make_dolphot_catalog
from hst_assets.products.columns import read_table
from hst_assets.settings import load_settings, write_settings
from hst_assets_tests.photometry.dolphot.small_field import rows_of, small_field, write_inputs
from hst_assets_tests.stand_ins import measuring_dolphot
from hst_assets_tests.stand_ins.measuring_dolphot import BIAS_MAG, LAST_X, MeasuringDolphot

N_STARS, CHUNK = 240, 80


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A target with its catalogue, and all its artificial stars once."""
    folder = tmp_path_factory.mktemp("artificial")
    program = MeasuringDolphot(folder / "bin")
    workdir = small_field(folder / "root")
    write_settings(
        workdir,
        {
            "dolphot": {"program": str(program.path)},
            "artificial_stars": {"n_stars": N_STARS, "chunk_size": CHUNK},
        },
    )
    settings = load_settings(workdir)
    make_dolphot_catalog(workdir, settings)
    return workdir, program, make_artificial_stars(workdir, settings)


@pytest.fixture
def target(measured, tmp_path):
    """The same in a folder of its own, where nothing was run."""
    workdir, program, _ = measured
    shutil.copytree(workdir.root, tmp_path / "root")
    (program.folder / "runs.jsonl").unlink(missing_ok=True)
    program.will()
    return type(workdir)(tmp_path / "root", workdir.target), program


def again(workdir, **settings):
    if settings:
        write_settings(workdir, {"artificial_stars": settings})
    return make_artificial_stars(workdir, load_settings(workdir))


def test_the_limits_are_where_stars_end(measured):
    """Found below the limit of each filter, not above.

    The kernel, 0.47 mag wide for so few stars, rounds the step: half lies at the step itself (to
    0.15 mag: some stars lie on no image). With a fifteenth of them on no image, four fifths lie 1.1
    widths before it (0.8 / 0.93 of a Gaussian), with the noise of 240 stars up to 1.5.
    """
    _, _, made = measured
    limits = {(each["filter"], each["share"]): each["magnitude"] for each in made.facts["limits"]}
    for label in measuring_dolphot.FILTERS:
        limit = measuring_dolphot.LIMITS[label]
        assert limits[label, 0.5] == pytest.approx(limit, abs=0.15)
        assert limit - 1.5 * 0.47 < limits[label, 0.8] < limits[label, 0.5]


def test_every_star_is_kept_and_those_on_no_image_are_not_recovered(measured):
    workdir, _, made = measured
    stars = QTable.read(workdir.artificial_stars)
    assert len(stars) == N_STARS == made.facts["n_stars"]
    off = stars["x"].value > LAST_X
    assert 0 < off.sum() == N_STARS - made.facts["n_mentioned"]
    assert not stars["mentioned"][off].any()
    assert not stars["wfc3_f814w_recovered"][off].any()
    bright = ~off & (stars["wfc3_f814w_true"].value < 25.4)
    assert stars["wfc3_f814w_recovered"][bright].all()


def test_no_two_lists_have_the_same_noise(measured):
    _, program, _ = measured
    assert len(set(program.seeds[:3])) == 3


def test_the_bias_is_that_of_the_photometer(measured):
    workdir, _, _ = measured
    table = read_table(workdir.completeness)
    enough = table["n_recovered"] > 3
    assert np.allclose(table["bias"][enough].value, BIAS_MAG, atol=0.0011)  # printed to 0.001


def test_the_files_of_all_lists_are_dolphots(measured):
    workdir, _, made = measured
    lists = (workdir.dolphot / "dp0000.fakelist").read_text().splitlines()
    results = (workdir.dolphot / "dp0000.fake").read_text().splitlines()
    assert len(lists) == N_STARS
    assert len(results) == made.facts["n_mentioned"]
    assert results[0].split()[:4] == lists[0].split()[:4]


def test_what_is_noise_in_a_filter_does_not_set_the_range(target):
    """A star of F814W at whose place F606W has noise of 33 mag."""
    workdir, _ = target
    catalog = measuring_dolphot.real_stars()
    catalog.data["f606w_vega_mag"][:90] = 33.0
    catalog.data["f606w_snr"][:90] = 0.4
    write_catalog(catalog, workdir.dolphot / "dp0000")
    again(workdir, seed=2, chunk_size=N_STARS)  # one list: each waits 2 s for the one before
    assert QTable.read(workdir.artificial_stars)["wfc3_f606w_true"].value.max() < 27.6


def test_dolphot_is_given_the_catalogues_parameters_and_a_list(measured):
    _, program, made = measured
    first, *others = program.runs or [[], []]
    assert made.ran
    for run in others:
        assert run[:3] == ["dp0000", "-pdp0000.param", "FakeStars=stars.fakelist"]
        assert "FakeMatch=3" in run
    assert first[:2] == ["dp0000", "-pdp0000.param"] or not first


def test_what_is_up_to_date_is_not_run(target):
    workdir, program = target
    assert not again(workdir).ran
    assert program.runs == []


def test_more_stars_measure_the_new_ones_only(target):
    workdir, program = target
    made = again(workdir, n_stars=N_STARS + CHUNK)
    assert len(program.runs) == 1
    assert made.facts["n_stars"] == N_STARS + CHUNK


def test_other_rules_measure_nothing_again(target):
    workdir, program = target
    made = again(workdir, max_brightening_mag=0.01, bin_mag=1.0)
    assert made.ran
    assert program.runs == []


def test_another_cut_counts_again_and_measures_nothing(target):
    workdir, program = target
    write_settings(workdir, {"quality_cuts": {"min_snr": 60.0}})  # all have 50
    made = again(workdir)
    assert made.ran
    assert program.runs == []
    assert np.sum(read_table(workdir.completeness)["n_recovered"]) == 0


def test_a_list_that_was_lost_is_measured_again(target):
    workdir, program = target
    before = workdir.completeness.read_bytes()
    workdir.artificial_chunk(2).unlink()
    workdir.completeness.unlink()
    assert again(workdir).ran
    assert len(program.runs) == 1
    assert workdir.completeness.read_bytes() == before


def test_a_list_that_fails_costs_its_own_stars(target):
    workdir, program = target
    workdir.artificial_chunk(2).unlink()
    program.will(code=1)
    made = again(workdir)
    assert made.facts["n_stars"] == N_STARS - CHUNK
    (failed,) = made.facts["failed"]
    assert failed == "list 2: dp0000.fake: DOLPHOT ended with status 1"
    assert made.facts["failures"] == {"dolphot/artificial/chunk_00002.fake": "ToolFailed"}


def test_if_every_list_fails_there_is_no_completeness(target):
    workdir, program = target
    for number in (1, 2, 3):
        workdir.artificial_chunk(number).unlink()
    workdir.completeness.unlink()
    program.will(code=1)
    with pytest.raises(ToolFailed, match="ended with status 1"):
        again(workdir)
    assert not workdir.completeness.exists()


def test_fewer_stars_take_the_others_away(target):
    workdir, program = target
    again(workdir, n_stars=CHUNK)
    assert [path.name for path in workdir.artificial_chunk(1).parent.glob("*.fake")] == [
        "chunk_00001.fake"
    ]
    assert program.runs == []


@pytest.fixture
def single(tmp_path):
    """A target with a third filter of one image, and where its program was built.

    Its stars are in one list: each waits 2 s for the one before.
    """
    root = tmp_path / "dolphot2.0"
    filters = root / "wfc3" / "data" / "filters.dat"
    filters.parent.mkdir(parents=True)
    filters.write_text("3\nF438W\nB\n25.5 25.5 0.0 0.0\n0\nF606W\nV\n1 1 0 0\n0\nF814W\nI\n")
    program = MeasuringDolphot(tmp_path / "bin")
    program.will(single=1)
    workdir = small_field(tmp_path / "root")
    write_settings(
        workdir,
        {
            "dolphot": {"program": str(program.path), "root": str(root)},
            "artificial_stars": {"n_stars": N_STARS, "chunk_size": N_STARS // 2},
        },
    )
    make_dolphot_catalog(workdir, load_settings(workdir))
    return workdir, filters


def test_a_filter_of_one_image_has_its_completeness(single):
    """Measured in the columns of its image, and listed where DOLPHOT expects it."""
    workdir, _ = single
    made = again(workdir)
    limits = {(each["filter"], each["share"]): each["magnitude"] for each in made.facts["limits"]}
    for label, limit in measuring_dolphot.LIMITS.items():
        # A kernel width: the first filter's stars are uniform, the others' follow from colours.
        assert limits[label, 0.5] == pytest.approx(limit, abs=0.47)
    stars = QTable.read(workdir.artificial_stars)
    kept = stars["wfc3_f438w_recovered"]
    difference = stars["wfc3_f438w_measured"][kept] - stars["wfc3_f438w_true"][kept]
    assert np.allclose(difference.value, BIAS_MAG, atol=0.0011)  # printed to 0.001


def test_without_dolphots_order_a_filter_of_one_image_is_told(single):
    workdir, filters = single
    filters.unlink()
    with pytest.raises(UnusableInput, match=r"WFC3_F438W: of one image only(.|\n)*dolphot\.root"):
        again(workdir)


def test_a_list_in_another_order_than_dolphots_is_told(single):
    workdir, filters = single
    filters.write_text("F606W\nF438W\nF814W\n")
    with pytest.raises(UnusableInput, match="took the magnitudes of another filter"):
        again(workdir)


def test_another_program_than_the_catalogues_measures_nothing(target):
    workdir, program = target
    workdir.artificial_chunk(2).unlink()
    other = MeasuringDolphot(program.folder.parent / "other")
    other.path.write_text(f"{other.path.read_text()}# another build\n")
    write_settings(workdir, {"dolphot": {"program": str(other.path)}})
    with pytest.raises(UnusableInput, match="by another program"):
        again(workdir)
    assert other.runs == []


def test_inputs_made_since_the_catalogue_are_not_mixed_with_it(target):
    workdir, program = target
    workdir.artificial_chunk(2).unlink()
    rows = rows_of(workdir)
    write_inputs(workdir, [{**row, "note": "made again"} for row in rows])
    with pytest.raises(UnusableInput, match="from other inputs"):
        again(workdir)
    assert program.runs == []


def test_without_a_catalogue_it_says_what_to_make(tmp_path):
    workdir = small_field(tmp_path / "root")
    with pytest.raises(MissingProduct, match="dolphot_catalog"):
        make_artificial_stars(workdir, load_settings(workdir))

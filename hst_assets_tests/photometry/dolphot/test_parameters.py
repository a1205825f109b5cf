"""The parameter file of a run."""

import re
from pathlib import Path

import pytest

from hst_assets.detectors import DETECTORS
from hst_assets.failures import BadConfiguration
from hst_assets.photometry.dolphot.input_images import InputImage
from hst_assets.photometry.dolphot.parameters import (
    IMAGE_PARAMETERS,
    IN_DOLPHOT_3,
    OF_ARTIFICIAL_STARS,
    image_parameters,
    parameter_lines,
    parameters_text,
    settings_of_catalog,
    transfer_remarks,
)
from hst_assets.settings import DolphotParameters, DolphotSettings, ImageParameters

SHARED = Path(__file__).parents[4] / "shared" / "data" / "dolphot_reference"


def image(name="iaaa01aaq", *, chip=1, key="wfc3_uvis", role="exposure"):
    suffix = DETECTORS[key].suffix
    return InputImage(
        role=role,
        exposure=name,
        chip=chip,
        path=Path(f"{name}_{suffix}.chip{chip}.fits"),
        sky_path=Path("s.fits"),
        detector=DETECTORS[key],
        filter="F814W",
    )


REFERENCE = image("ref", chip=0, role="reference")


def lines(*images, **settings):
    chosen = DolphotSettings.model_validate(settings)
    return dict(parameter_lines([REFERENCE, *images], chosen))


def test_every_detector_has_a_row():
    assert set(IMAGE_PARAMETERS) == set(DETECTORS)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("wfc3_uvis", (3, 2.0, 13, (15, 35), (4, 10), (15, 25))),
        ("wfc3_ir", (2, 1.5, 15, (8, 20), (3, 10), (8, 20))),
        ("acs_wfc", (2, 1.5, 10, (15, 35), (3, 6), (15, 25))),
        ("acs_hrc", (2, 1.5, 10, (15, 35), (3, 6), (15, 25))),
        ("wfpc2", (3, 2.0, 13, (15, 35), (4, 10), (15, 25))),
    ],
)
def test_the_rows_are_those_of_hst123(key, values):
    row = IMAGE_PARAMETERS[key]
    assert (row.RAper, row.RChi, row.RPSF, row.RSky, row.RSky2, row.apsky) == values


def test_the_reference_is_image_0_and_not_counted():
    written = lines(image(), image(chip=2))
    assert written["Nimg"] == "2"
    assert written["img0000_file"] == "ref_flc.chip0"
    assert written["img0002_file"] == "iaaa01aaq_flc.chip2"


def test_numbers_are_written_as_dolphot_reads_them():
    written = lines(image(), NoiseMult=0.1, photsec="0 1 1 1 9 9")
    assert written["img0001_RSky"] == "15 35"
    assert (written["NoiseMult"], written["RCombine"], written["photsec"]) == (
        "0.1",
        "1.5",
        "0 1 1 1 9 9",
    )


def test_later_tables_win():
    chosen = DolphotSettings.model_validate(
        {
            "detectors": {"all": {"RAper": 4, "RPSF": 11, "RChi": 1}, "wfc3_uvis": {"RPSF": 12}},
            "images": {"iaaa01aaq": {"RChi": 3}, "iaaa01aaq.chip2": {"RChi": 2.5}},
        }
    )
    both = [image_parameters(image(chip=chip), chosen) for chip in (1, 2)]
    assert [(p.RAper, p.RPSF, p.RChi) for p in both] == [(4, 12, 3), (4, 12, 2.5)]
    assert image_parameters(image(key="wfc3_ir"), chosen).RPSF == 11


def test_the_reference_has_a_table_of_its_own():
    chosen = DolphotSettings.model_validate({"images": {"reference": {"RPSF": 9}}})
    assert image_parameters(REFERENCE, chosen).RPSF == 9
    assert image_parameters(image(), chosen).RPSF == 13


def test_a_psf_smaller_than_the_aperture_is_refused():
    with pytest.raises(
        BadConfiguration, match=r"reference: RPSF \(2\) must be at least RAper \(3\)"
    ):
        lines(image(), detectors={"all": {"RPSF": 2}})


def test_a_table_of_no_image_is_refused_with_the_near_name():
    with pytest.raises(BadConfiguration, match=r"iaaa01aaw; did you mean 'iaaa01aaq'"):
        lines(image(), images={"iaaa01aaw": {"RAper": 3}})


def test_the_search_is_never_above_the_final_limit():
    assert lines(image(), SigFinal=2.0)["SigFind"] == "2"
    assert lines(image(), SigFinal=5.0)["SigFind"] == "2.5"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (("wfc3_uvis",), "0"),
        (("wfpc2",), "1"),
        (("wfpc2", "acs_wfc"), "0"),
        # DOLPHOT 2's correction of WFC3 is 0: WFPC2 keeps its own.
        (("wfpc2", "wfc3_uvis"), "1"),
        (("wfpc2", "wfc3_ir"), "1"),
    ],
)
def test_dolphot_2_corrects_transfer_only_where_all_instruments_need_it(keys, expected):
    images = [image(f"iaaa01a{i}q", key=key) for i, key in enumerate(keys)]
    assert lines(*images)["UseCTE"] == expected


@pytest.mark.parametrize(
    ("keys", "choices", "named"),
    [
        (("wfpc2", "acs_wfc"), {}, ["WFPC2 is not corrected"]),
        (("wfpc2", "acs_wfc"), {"UseCTE": 1}, ["ACS is corrected"]),
        (("wfpc2", "wfc3_uvis"), {}, []),
        (("acs_wfc",), {}, []),
    ],
)
def test_an_instrument_that_is_corrected_against_the_settings_is_named(keys, choices, named):
    images = [image(f"iaaa01a{i}q", key=key) for i, key in enumerate(keys)]
    remarks = transfer_remarks(images, DolphotSettings(**choices))
    assert [remark.partition(" for")[0] for remark in remarks] == named


def test_artificial_stars_are_not_in_the_file_nor_in_the_recipe():
    assert set(lines(image())) & set(OF_ARTIFICIAL_STARS) == set()
    assert set(settings_of_catalog(DolphotSettings())) & set(OF_ARTIFICIAL_STARS) == set()


def test_the_file_has_no_line_that_dolphot_takes_for_a_mistake():
    text = parameters_text(parameter_lines([REFERENCE, image()], DolphotSettings()))
    assert all(line.startswith("#") or " = " in line for line in text.splitlines())
    # It reads lines of 800 characters.
    assert max(map(len, text.splitlines())) < 800


def read(path):
    pairs = (line.split("#")[0].partition("=")[::2] for line in path.read_text().splitlines())
    return {name.strip(): value.split() for name, value in pairs if name.strip()}


@pytest.mark.skipif(not SHARED.is_dir(), reason="no reference data beside the checkout")
def test_the_values_are_those_of_hst123s_own_file():
    theirs = read(SHARED / "wfc3_uvis_2filt" / "dp.param")
    ours = {name: value.split() for name, value in lines(image(), Force1=0).items()}
    compared = {
        name: value
        for name, value in theirs.items()
        if name not in OF_ARTIFICIAL_STARS and not re.match(r"img000[2-4]_|img\d+_file|Nimg", name)
    }
    assert len(compared) > 40
    assert {n: v for n, v in compared.items() if numbers(ours.get(n)) != numbers(v)} == {}


def numbers(words):
    try:
        return [float(word) for word in words or ()]
    except ValueError:
        return words


@pytest.mark.skipif(not SHARED.is_dir(), reason="no reference data beside the checkout")
def test_names_of_dolphot_3_are_those_that_dolphot_2_did_not_match():
    text = (SHARED / "wfc3_uvis_2filt" / "dp.output").read_text()
    told = set(re.findall(r"Cannot match parameter name:\n(?:img\d+_)?(\w+)", text))
    assert told <= IN_DOLPHOT_3
    ours = set(DolphotParameters.model_fields) | set(ImageParameters.model_fields)
    assert ours >= IN_DOLPHOT_3

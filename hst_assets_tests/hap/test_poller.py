from pathlib import Path

import pytest
from astropy.table import Table

from hst_assets.failures import BadConfiguration, MissingProduct, UnusableInput
from hst_assets.hap.poller import poller_of_visit, read_poller, write_poller

EIGHT = "iaaa01a0q_flt.fits,12345,AAA,01,100.0,F160W,IR,/archive/iaaa01a0q_flt.fits"
TEN = (
    "hst_12345_01_wfc3_ir_f160w_iaaa01a0_flt.fits,12345,AAA,01,100.0,F160W,IR,"
    "skycell-p1234x05y06,NEW,/archive/x.fits"
)


@pytest.fixture
def poller(tmp_path):
    def of(text):
        path = tmp_path / "wfc3_aaa_01_input.out"
        path.write_text(text)
        return path

    return of


def test_a_line_of_eight_columns_tells_everything(poller):
    (row,) = read_poller(poller(EIGHT))
    assert (row.file, row.line, row.instrument) == ("iaaa01a0q_flt.fits", 1, "WFC3")
    assert (row.proposal_id, row.program_id, row.obset_id) == (12345, "AAA", "01")
    assert (row.exptime_s, row.filters, row.detector) == (100.0, "F160W", "IR")
    assert row.path == Path("/archive/iaaa01a0q_flt.fits")


def test_a_line_of_two_columns_tells_the_aperture(poller):
    (row,) = read_poller(poller("u2as0101t_flt.fits, PC1-FIX;F160BN15\n"))
    assert row.aperture == "PC1-FIX;F160BN15"
    assert row.proposal_id is None


def test_a_line_of_ten_columns_tells_the_sky_cell(poller):
    (row,) = read_poller(poller(TEN))
    assert (row.skycell_id, row.is_new) == ("skycell-p1234x05y06", True)


@pytest.mark.parametrize(
    "text",
    [
        "# a comment\n\n  iaaa01a0q_flt.fits  \niaaa01a1q_flt.fits # why\n",
        '"iaaa01a0q_flt.fits"\r\n"iaaa01a1q_flt.fits"\r\n',
        "\tiaaa01a0q_flt.fits\n#iaaa01a2q_flt.fits\n'iaaa01a1q_flt.fits'",
    ],
)
def test_white_space_quotes_and_comments_do_not_matter(poller, text):
    assert [row.file[6:8] for row in read_poller(poller(text))] == ["a0", "a1"]


def test_columns_may_be_separated_by_white_space(poller):
    (row,) = read_poller(poller(EIGHT.replace(",", "   ")))
    assert row.detector == "IR"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("iaaa01a0q_flt.fits\n\niaaa01a1q_flt.fits,x,y\n", "line 3 has 3 columns"),
        (f"{EIGHT}\niaaa01a1q_flt.fits\n", "line 2 has 1 columns, those before have 8"),
        ("iaaa01010_asn.fits\n", "line 1 begins with 'iaaa01010_asn.fits'"),
        ("iaaa01a0q_raw.fits\n", "names no exposure"),
        ("iaaa01a0q_flt.fits\niaaa01a0q_flt.fits\n", "line 2 lists .*, as line 1 does"),
        ("iaaa01a0q_flt.fits\njaaa01a0q_flt.fits\n", "line 2 is of ACS, line 1 of WFC3"),
        (EIGHT.replace("12345", "12e3"), "no number"),
        (EIGHT.replace("100.0", "nan"), "exposure time 'nan'"),
        (EIGHT.replace("IR", "WFC"), "detector 'WFC', not of WFC3"),
        (TEN.replace("NEW", "1"), "neither NEW nor OLD"),
        (TEN.replace("skycell-p1234x05y06", "p1234"), "sky cell 'p1234'"),
        ("# nothing\n", "lists no exposure"),
        ('iaaa01a0q_flt.fits "open\n', "line 1 cannot be read"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(poller, text, told):
    with pytest.raises(UnusableInput, match=told):
        read_poller(poller(text))


def test_a_poller_that_is_not_there_is_missing(tmp_path):
    with pytest.raises(MissingProduct):
        read_poller(tmp_path / "none.out")


def test_a_fits_file_is_no_poller(tmp_path):
    path = tmp_path / "image.fits"
    path.write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(UnusableInput, match="text file"):
        read_poller(path)


@pytest.mark.parametrize("text", [EIGHT, TEN, "iaaa01a0q_flt.fits", "u2as0101t_flt.fits,PC1-FIX"])
def test_what_is_written_reads_the_same(poller, tmp_path, text):
    rows = read_poller(poller(text))
    write_poller(rows, tmp_path / "again.out")
    assert read_poller(tmp_path / "again.out") == rows


EXPOSURES = Table(
    {
        "file": ["jaaa01a1q_flc.fits", "jaaa01a0q_flc.fits", "jaaa01a2q_flc.fits"],
        "rootname": ["jaaa01a1q", "jaaa01a0q", "jaaa01a2q"],
        "visit": ["jaaa01"] * 3,
        "used": [True, True, False],
        "filter": ["FR656N-6710", "F606W-POL0V", "F606W"],
        "exptime": [500.0, 400.0, 300.0],
        "mjd_start": [2.0, 1.0, 0.0],
        "detector": ["WFC"] * 3,
    }
)


def test_the_poller_of_a_visit_has_its_used_exposures_in_order_of_time(tmp_path):
    rows = poller_of_visit(EXPOSURES, "jaaa01", proposal_id=12345, folder=Path("/raw"))
    assert [(row.file[6:8], row.filters) for row in rows] == [
        ("a0", "F606W;POL0V"),
        ("a1", "FR656N"),
    ]
    write_poller(rows, tmp_path / "poller.out")
    assert read_poller(tmp_path / "poller.out") == rows


def test_a_visit_without_used_exposures_has_no_poller():
    with pytest.raises(UnusableInput, match="no exposure"):
        poller_of_visit(EXPOSURES, "jbbb01", proposal_id=1, folder=Path())


def test_files_of_another_format_have_no_poller():
    table = EXPOSURES.copy()
    table["file"] = [name.replace("flc", "c0m") for name in table["file"]]
    with pytest.raises(BadConfiguration, match="flt and flc"):
        poller_of_visit(table, "jaaa01", proposal_id=1, folder=Path())


def test_exposures_of_wfpc2_are_listed_as_the_files_that_are_made_of_them():
    table = EXPOSURES[1:2].copy()
    table["file"] = ["u40x010hm_c0m.fits"]
    table["visit"], table["filter"], table["detector"] = ["u40x01"], ["F606W"], ["WFPC2"]
    (row,) = poller_of_visit(
        table, "u40x01", proposal_id=6821, folder=Path("/raw"), flt_folder=Path("/flt")
    )
    assert (row.file, row.detector, row.program_id) == ("u40x010hm_flt.fits", "PC", "40X")
    assert row.path == Path("/flt/u40x010hm_flt.fits")

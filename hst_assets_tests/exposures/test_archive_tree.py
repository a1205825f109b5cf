import pytest

from hst_assets.exposures.archive_tree import exposures_near
from hst_assets.failures import BadConfiguration


@pytest.fixture
def tree(tmp_path, exposure_file):
    """Put an exposure at a place into an archive tree."""
    count = iter(range(10, 99))

    def add(ra, dec, folder=None):
        rootname = f"jccc03{next(count)}q"
        path = tmp_path / "archive" / "ACS" / "HRC" / (folder or str(round(ra)))
        return exposure_file(
            "acs_hrc",
            folder=path,
            rootname=rootname,
            centre=(ra, dec),
            primary={"RA_TARG": ra, "DEC_TARG": dec},
        )

    return add


def test_near_exposures_are_found_and_far_ones_not(tree, tmp_path):
    near = tree(150.1, 2.2)
    tree(150.3, 2.2)
    tree(150.1, -2.2)
    tree(10.0, 2.2)
    assert exposures_near(tmp_path / "archive", 150.1, 2.2) == [near]


@pytest.mark.parametrize(
    ("ra", "dec"),
    [(359.9999, 0.0), (0.0001, 0.0), (150.5, 2.0), (33.0, 89.99), (213.0, 89.99), (33.0, -90.0)],
)
def test_fields_across_a_folder_border_are_found(tree, tmp_path, ra, dec):
    wanted = sorted(tree((ra + offset) % 360, dec) for offset in (-0.01, 0.01))
    assert exposures_near(tmp_path / "archive", ra, dec) == wanted


def test_all_right_ascensions_meet_at_the_pole(tree, tmp_path):
    wanted = sorted(tree(ra, 89.99) for ra in (10.0, 100.0, 190.0, 280.0))
    assert exposures_near(tmp_path / "archive", 0.0, 90.0) == wanted


def test_the_radius_counts(tree, tmp_path):
    path = tree(150.1, 2.3)
    assert exposures_near(tmp_path / "archive", 150.1, 2.2, radius_arcsec=361) == [path]
    assert exposures_near(tmp_path / "archive", 150.1, 2.2, radius_arcsec=359) == []


def test_a_tree_of_another_layout_is_searched_wholly(tree, tmp_path):
    path = tree(150.1, 2.2, folder="cosmos")
    assert exposures_near(tmp_path / "archive", 150.1, 2.2) == [path]


def test_damaged_files_are_left_for_ingest_to_refuse(tree, tmp_path):
    path = tree(150.1, 2.2)
    path.write_bytes(b"damaged")
    assert exposures_near(tmp_path / "archive", 150.1, 2.2) == [path]


def test_a_missing_archive_is_an_error(tmp_path):
    with pytest.raises(BadConfiguration, match="no such archive folder"):
        exposures_near(tmp_path / "archive", 150.1, 2.2)


@pytest.mark.parametrize(
    ("keyword", "value"), [("RA_TARG", "1E300"), ("RA_TARG", "1E400"), ("DEC_TARG", "'N/A'")]
)
def test_positions_that_are_none_are_left_for_ingest_to_refuse(tree, tmp_path, keyword, value):
    path = tree(150.1, 2.2)
    content = path.read_bytes()
    at = content.index(keyword.ljust(8).encode() + b"=")
    path.write_bytes(content[:at] + f"{keyword:8}= {value}".ljust(80).encode() + content[at + 80 :])
    assert exposures_near(tmp_path / "archive", 150.1, 2.2) == [path]

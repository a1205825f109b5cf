"""The absolute catalogue of a target: whence it is, for which field, when it is made again."""

import numpy as np
import pytest
from astropy.table import QTable, Table

from hst_assets.astrometry.absolute import gaia
from hst_assets.astrometry.absolute.catalog import (
    cone_about,
    make_absolute_catalog,
    read_absolute_catalog,
)
from hst_assets.exposures.table import write_table
from hst_assets.failures import BadConfiguration, TransientFailure
from hst_assets.provenance import read_record
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.stand_ins.tap import Tap, gaia_source

RA, DEC = 150.1, 2.2


class Field:
    """A target whose exposure table has the footprints that a test gives it."""

    def __init__(self, root):
        self.workdir = WorkDir(root, "sn1").create()
        self.footprints = []

    def add(self, north_arcmin=0.0, *, used=True):
        dec = DEC + north_arcmin / 60
        corners = [(RA + dx / 60, dec + dy / 60) for dx, dy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        text = "POLYGON ICRS " + " ".join(f"{x:.7f} {y:.7f}" for x, y in corners)
        self.footprints.append((text, used))
        texts, uses = zip(*self.footprints, strict=True)
        table = QTable({"footprint": texts, "used": uses})
        write_table(table, self.workdir.target_exposures)

    def make(self, target=None, **catalog):
        sections = {"catalog": catalog}
        if target:
            sections["target"] = {"ra_deg": target[0], "dec_deg": target[1]}
        return make_absolute_catalog(self.workdir, Settings.model_validate(sections))


@pytest.fixture
def field(tmp_path):
    field = Field(tmp_path / "root")
    field.add()
    return field


@pytest.fixture
def mine(tmp_path):
    """A table of the user's own: stars up to 12 arcmin north of the field."""
    path = tmp_path / "mine.csv"
    north = np.arange(0.25, 12.5, 0.5)
    Table({"ra": np.full(len(north), RA), "dec": DEC + north / 60}).write(path, format="ascii.csv")
    return path


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setattr(gaia, "_FIRST_WAIT_S", 0.0)
    rng = np.random.default_rng(2)
    stars = gaia_source(RA + rng.uniform(-0.2, 0.2, 400), DEC + rng.uniform(-0.2, 0.2, 400))
    with Tap(stars).running() as service:
        yield service


def test_it_is_cut_to_the_field_and_says_whence_it_is(field, mine):
    made = field.make(source=mine)
    stars = read_absolute_catalog(field.workdir)
    assert made.facts["cone"]["radius_arcmin"] == 6
    assert len(stars) == made.facts["n_stars"] == 12
    assert stars.meta["catalogue"] == "mine.csv"
    assert read_record(field.workdir.absolute_catalog).outputs


def test_the_field_is_about_the_target_where_one_is_set(field, mine):
    made = field.make(source=mine, target=(RA, DEC + 5 / 60))
    assert made.facts["cone"]["dec_deg"] == pytest.approx(DEC + 5 / 60, abs=1e-4)
    assert made.facts["cone"]["radius_arcmin"] == 8  # the far corner, and the margin


def test_nothing_changed_makes_nothing(field, mine):
    field.make(source=mine)
    assert not field.make(source=mine).ran


def test_an_exposure_inside_the_field_changes_nothing(field, mine):
    before = field.make(source=mine, target=(RA, DEC)).digest
    field.add(2.0)
    again = field.make(source=mine, target=(RA, DEC))
    assert (again.ran, again.digest) == (False, before)


def test_an_exposure_outside_of_it_makes_it_larger_for_good(field, mine):
    before = field.make(source=mine, target=(RA, DEC)).digest
    field.add(8.0)
    larger = field.make(source=mine, target=(RA, DEC))
    assert larger.ran
    assert larger.digest != before
    assert larger.facts["cone"]["radius_arcmin"] > 10
    field.footprints = field.footprints[:1]
    field.add()
    assert not field.make(source=mine, target=(RA, DEC)).ran


def test_an_exposure_that_is_not_used_has_no_say(field, mine):
    field.make(source=mine, target=(RA, DEC))
    field.add(8.0, used=False)
    assert not field.make(source=mine, target=(RA, DEC)).ran


def test_another_table_or_a_changed_one_makes_it_again(field, mine):
    first = field.make(source=mine)
    mine.write_text(mine.read_text() + f"{RA + 0.01},{DEC}\n")
    second = field.make(source=mine)
    assert second.ran
    assert second.digest != first.digest
    assert second.facts["n_stars"] == first.facts["n_stars"] + 1


def test_a_relative_path_is_from_the_work_directory(field, mine):
    mine.rename(field.workdir.base / "mine.csv")
    assert field.make(source="mine.csv").facts["n_stars"] == 12


def test_a_table_that_is_not_there_is_an_error(field):
    with pytest.raises(BadConfiguration, match="the catalogue does not exist"):
        field.make(source="elsewhere.csv")


def test_gaia_is_the_default_and_asked_once(field, service):
    made = field.make(tap_services=[service.url])
    assert (made.facts["catalogue"], made.facts["origin"]) == ("Gaia DR3", service.url)
    assert made.facts["n_stars"] > 50
    field.make(tap_services=[service.url])
    assert len(service.queries) == 1


def test_another_target_of_the_root_finds_the_field_kept(field, service, tmp_path):
    field.make(tap_services=[service.url])
    other = Field(tmp_path / "root")
    other.workdir = WorkDir(tmp_path / "root", "sn2").create()
    other.add()
    assert other.make(tap_services=[service.url]).ran
    assert len(service.queries) == 1


def test_the_depth_matters_and_the_patience_does_not(field, service):
    first = field.make(tap_services=[service.url])
    assert not field.make(tap_services=[service.url], timeout_s=5.0).ran
    shallower = field.make(tap_services=[service.url], faintest_mag=18.0)
    assert shallower.facts["n_stars"] < first.facts["n_stars"]


def test_no_answer_leaves_nothing_behind(field, service):
    service.faults = ["503"] * 9
    with pytest.raises(TransientFailure):
        field.make(tap_services=[service.url])
    assert read_record(field.workdir.absolute_catalog) is None


def test_a_field_without_stars_is_a_catalogue_without_stars(field, service):
    service.stars["dec"] -= 40
    assert field.make(tap_services=[service.url]).facts["n_stars"] == 0
    assert len(read_absolute_catalog(field.workdir)) == 0


def test_a_cone_holds_the_outlines_with_an_arcminute_to_spare():
    corner = np.array([[150.0, 2.0 + 7.3 / 60]])
    cone = cone_about(150.0, 2.0, [corner])
    assert cone.radius_arcmin == 9  # 7.3 and the margin, in whole arcminutes
    assert cone.contains(corner).all()


def test_no_cone_is_too_small_for_a_field_that_holds_its_centre():
    # The diagonal of ACS/WFC, the largest field, is 4.8 arcmin.
    assert cone_about(150.0, 2.0, []).radius_arcmin >= 5.8

"""One frame a target: absolute if the anchor is brought onto the catalogue, else the anchor's."""

import re
import shutil

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from hst_assets.astrometry.absolute import frame, gaia
from hst_assets.astrometry.absolute.stars import julian_year, star_table
from hst_assets.astrometry.alignment import make_aligned_visit
from hst_assets.astrometry.alignment_table import read_alignment
from hst_assets.astrometry.reference.frame import read_note, read_reference
from hst_assets.astrometry.reference.image import make_reference
from hst_assets.detectors import DETECTORS
from hst_assets.failures import TransientFailure
from hst_assets.settings import (
    AlignmentSettings,
    CatalogSettings,
    GateSettings,
    ReferenceSettings,
    Settings,
    TargetSettings,
)
from hst_assets.simulate.campaign import simulate_campaign
from hst_assets.simulate.plans import small_plan
from hst_assets.simulate.truth import true_offset
from hst_assets.sky_geometry import TangentPlane
from hst_assets.workdir import WorkDir
from hst_assets_tests.astrometry.conftest import prepare
from hst_assets_tests.stand_ins.tap import Tap, gaia_source

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("astrometry_frame")]

PIXEL_ARCSEC = DETECTORS["acs_wfc"].pixel_scale_arcsec
TARGET = TargetSettings(ra_deg=150.1, dec_deg=2.2)


def settings_for(*methods, catalog=None, gate=None, **sections):
    return Settings(
        alignment=AlignmentSettings(align_with=methods, keep_objfile=True),
        catalog=catalog or CatalogSettings(),
        gate=gate or GateSettings(),
        target=TARGET,
        **sections,
    )


class Absolute:
    """Two ACS exposures, the stars of their sky as Gaia has them, aligned to Gaia by TAP."""

    def __init__(self, folder):
        self.truth = simulate_campaign(small_plan("acs_wfc", mjd=54000.0), folder / "sky")
        self.workdir = WorkDir(folder / "root", "field")
        first, _ = self.truth.science_files()
        true = self.truth.positions(first.name[:9])
        true.sort("counts", reverse=True)
        years = 2016.0 - julian_year(fits.getheader(first)["EXPSTART"])
        pmra, pmdec = np.random.default_rng(4).normal(0, 30, (2, len(true)))
        self.stars = gaia_source(
            true["ra"] + pmra * years / 3.6e6 / np.cos(np.radians(true["dec"])),
            true["dec"] + pmdec * years / 3.6e6,
            pmra=pmra,
            pmdec=pmdec,
        )
        with Tap(self.stars).running() as self.service:
            catalog = CatalogSettings(tap_services=(self.service.url,), timeout_s=20)
            self.settings = settings_for("catalog", "tweakreg", catalog=catalog)
            _, (self.visit,) = prepare(self.workdir, [self.truth.exposure_folder], self.settings)
            self.reference = make_reference(self.workdir, self.settings)
            make_aligned_visit(self.workdir, self.visit, self.settings)
            self.n_queries = len(self.service.queries)

    def offsets(self, workdir):
        table = read_alignment(workdir.visit_alignment(self.visit))
        assert len(table)
        for row in table:
            true = self.truth.positions(str(row["rootname"]))
            left = true_offset(workdir.aligned(str(row["file"])), true)
            yield row, np.hypot(left.east_arcsec, left.north_arcsec) / PIXEL_ARCSEC


@pytest.fixture(scope="module")
def absolute(tmp_path_factory):
    return Absolute(tmp_path_factory.mktemp("absolute"))


@pytest.fixture
def copied(absolute, tmp_path):
    shutil.copytree(absolute.workdir.root, tmp_path / "root")
    return WorkDir(tmp_path / "root", "field")


def mine(absolute, folder, *, shift_deg=0.0):
    """The sky as a table of the user's own."""
    table = absolute.stars["ra", "dec", "pmra", "pmdec"].copy()
    table["dec"] += shift_deg
    table["ref_epoch"] = 2016.0
    table.write(folder / "mine.csv", format="ascii.csv")
    return CatalogSettings(source=folder / "mine.csv")


def test_exposures_come_onto_the_sky_of_gaia_with_its_motions(absolute):
    # Unmoved, the stars would be 0.3 arcsec off: 6 px.
    for row, off_pix in absolute.offsets(absolute.workdir):
        assert (row["status"], row["method"]) == ("PASS", "catalog"), row["reason"]
        assert off_pix < 0.05
        header = fits.getheader(absolute.workdir.aligned(str(row["file"])))
        assert header["HST123 ALIGNMT"] == "catalog"


def test_the_reference_says_whose_frame_it_has(absolute):
    tie = absolute.reference.facts["tie"]
    assert (tie["absolute"], tie["catalogue"]) == (True, "Gaia DR3")
    header = fits.getheader(read_reference(absolute.workdir).image)
    assert header["HST123 ALIGNMT"] == "catalog"
    assert header["HST123 ALIGNFR"] == "Gaia DR3"
    assert read_reference(absolute.workdir).absolute == absolute.workdir.absolute_catalog


def test_gaia_is_asked_once_and_never_again(absolute):
    assert absolute.n_queries == 1
    # The service is gone by now.
    assert not make_reference(absolute.workdir, absolute.settings).ran
    assert not make_aligned_visit(absolute.workdir, absolute.visit, absolute.settings).ran


def test_the_matched_stars_are_kept_as_tweakreg_counts_pixels(absolute):
    for row, _ in absolute.offsets(absolute.workdir):
        (path,) = absolute.workdir.star_lists(str(row["rootname"]))
        text = path.read_text()
        assert "count from 1" in text.splitlines()[1]
        found = np.loadtxt(path)[:, :2]
        true = absolute.truth.positions(str(row["rootname"]))
        true_xy = np.column_stack([true["x"], true["y"]]) + 1  # the truth counts from 0
        nearest = np.hypot(*(found[:, None] - true_xy[None]).T).min(axis=0)
        assert np.median(nearest) < 0.1


def test_the_star_lists_go_when_they_are_no_longer_wanted(absolute, copied):
    settings = absolute.settings.model_copy(
        update={"alignment": AlignmentSettings(align_with=("catalog", "tweakreg"))}
    )
    make_reference(copied, settings)
    make_aligned_visit(copied, absolute.visit, settings)
    assert not list(copied.workspace.glob("*.coo"))


def test_an_unreachable_service_is_a_failure_and_not_another_frame(absolute, copied, monkeypatch):
    monkeypatch.setattr(gaia, "_FIRST_WAIT_S", 0.0)
    image, note = read_reference(copied).image, read_note(copied)
    copied.record(copied.absolute_catalog).unlink()
    shutil.rmtree(copied.catalogs)
    before = image.read_bytes()
    with pytest.raises(TransientFailure, match="no service with Gaia DR3 answered"):
        make_reference(copied, absolute.settings)
    assert image.read_bytes() == before
    assert read_note(copied) == note


def test_where_the_catalogue_fails_the_frame_is_the_anchors_and_tweakreg_goes_on(
    absolute, copied, tmp_path
):
    """A catalogue 2 arcmin off has no star in common with the field."""
    catalog = mine(absolute, tmp_path, shift_deg=2 / 60)
    made = make_reference(copied, settings_for("catalog", "tweakreg", catalog=catalog))
    tie = made.facts["tie"]
    assert not tie["absolute"]
    assert "could not be aligned to mine.csv" in tie["reason"]
    settings = settings_for("catalog", "tweakreg", catalog=catalog)
    make_aligned_visit(copied, absolute.visit, settings)
    table = read_alignment(copied.visit_alignment(absolute.visit))
    assert set(table["status"]) == {"PASS"}
    assert set(table["method"]) == {"tweakreg"}


def test_the_catalogue_alone_then_fails_with_the_reason(absolute, copied, tmp_path):
    settings = settings_for("catalog", catalog=mine(absolute, tmp_path, shift_deg=2 / 60))
    make_reference(copied, settings)
    make_aligned_visit(copied, absolute.visit, settings)
    table = read_alignment(copied.visit_alignment(absolute.visit))
    others = [row for row in table if row["method"] != "anchor"]
    assert {row["status"] for row in others} == {"FAIL"}
    assert all("not used: the frame is not absolute" in row["reason"] for row in others)


def test_tweakreg_on_an_absolute_frame_is_on_the_sky_too(absolute, copied, tmp_path):
    settings = settings_for("tweakreg", "catalog", catalog=mine(absolute, tmp_path))
    make_reference(copied, settings)
    make_aligned_visit(copied, absolute.visit, settings)
    for row, off_pix in absolute.offsets(copied):
        assert (row["status"], row["method"]) == ("PASS", "tweakreg"), row["reason"]
        # Twice the error of one fit: that of the anchor and its own.
        assert off_pix < 0.1


@pytest.mark.parametrize(("shift_pix", "agrees"), [(0.0, True), (4.0, False)])
def test_an_image_of_the_users_rules_and_is_absolute_only_if_it_agrees(
    absolute, copied, tmp_path, shift_pix, agrees
):
    image = tmp_path / "mine.fits"
    shutil.copyfile(read_reference(copied).image, image)
    shift_deg = shift_pix * PIXEL_ARCSEC / 3600
    settings = settings_for(
        "catalog",
        "tweakreg",
        catalog=mine(absolute, tmp_path, shift_deg=shift_deg),
        reference=ReferenceSettings(image=image),
    )
    before = image.read_bytes()
    tie = make_reference(copied, settings).facts["tie"]
    assert tie["absolute"] == agrees
    # Of two lists of the same stars: the figure is good to a twentieth of a pixel.
    said = float(re.search(r"off mine.csv by ([\d.]+) px", tie["reason"])[1])
    assert said == pytest.approx(shift_pix, abs=0.05)
    assert image.read_bytes() == before
    make_aligned_visit(copied, absolute.visit, settings)
    for row, off_pix in absolute.offsets(copied):
        assert (row["status"], row["method"]) == ("PASS", "catalog" if agrees else "tweakreg")
        assert off_pix < 0.1  # on the image, wherever the catalogue is


@pytest.mark.parametrize(
    ("turn_deg", "scale", "agrees"),
    # Stars at a median distance of 770 px: moved by 0.67 px, by 0.77 px.
    [(0.0, 1.0, True), (0.05, 1.0, False), (0.0, 1.001, False)],
)
def test_an_image_that_is_turned_or_scaled_about_its_middle_does_not_agree(turn_deg, scale, agrees):
    rng = np.random.default_rng(6)
    here = rng.uniform(-1000, 1000, (300, 2))
    cos, sin = scale * np.cos(np.radians(turn_deg)), scale * np.sin(np.radians(turn_deg))
    there = here @ [[cos, sin], [-sin, cos]] + rng.normal(0, 0.05, here.shape)
    tie = frame._agreement(here, there, PIXEL_ARCSEC, "mine.csv", settings_for("catalog"))
    median = float(re.search(r"off mine.csv by ([\d.]+) px", tie.reason)[1])
    assert median < GateSettings().max_held_out_offset_pix  # it says nothing of either
    assert tie.absolute == agrees


def test_an_image_of_another_hemisphere_has_no_star_in_common(tmp_path):
    header = TangentPlane(330.0, -2.0, 0.05).wcs().to_header()
    header["MJD-OBS"] = 57000.0
    image, stars = tmp_path / "image.fits", tmp_path / "stars.ecsv"
    fits.PrimaryHDU(np.ones((20, 20)), header).writeto(image)
    sky = np.array([330.0, -2.0]) + np.random.default_rng(1).uniform(-0.01, 0.01, (30, 2))
    Table(sky, names=("ra", "dec")).write(stars, format="ascii.ecsv")
    # Opposite the image, whose plane would show them mirrored about its middle.
    absolute = star_table({"ra": sky[:, 0] - 180.0, "dec": -sky[:, 1]})
    tie = frame.image_tie(image, stars, absolute, "Gaia", Settings())
    assert not tie.absolute
    assert "0 stars in common" in tie.reason

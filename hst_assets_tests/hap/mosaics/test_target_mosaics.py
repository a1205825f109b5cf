"""Which layers of a target's mosaics are made again, with a stand-in for the drizzling."""

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.failures import MissingProduct, ToolFailed
from hst_assets.hap.mosaics import mosaic
from hst_assets.hap.mosaics.target_mosaics import TARGET_EXPOSURE_COLUMNS, make_hap_mosaics
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.products.columns import build_table, read_table, write_table
from hst_assets.provenance import Recipe, Result, make
from hst_assets.settings import load_settings, write_settings
from hst_assets.workdir import WorkDir

CELL, NEXT = "p1360x10y10", "p1360x11y10"
NOT_FITTED = "IDC_x-GSC240"


class Drizzling:
    """Notes the layers that are asked for, and leaves small images; some fail."""

    def __init__(self):
        self.asked = []
        self.failing = set()

    def __call__(self, requests, *, options, machine, scratch, log_path):
        for request in requests:
            layer = request.layer
            self.asked.append(layer.basename)
            with scratch(layer.basename) as folder:
                log_path(layer.basename).write_text("log\n")
                (folder / layer.trailer_file).write_text("trailer\n")
                if layer.basename in self.failing:
                    yield request, folder, ToolFailed("no room on the sky", where=layer.basename)
                    continue
                fits.PrimaryHDU(np.eye(4, dtype="f4")).writeto(folder / layer.drizzled_file)
                members = [one.path.name for one in layer.members]
                told = {"exit": None, "overlaps": True, "members": members, "n_exposures": 1.0}
                told |= {"shape": [4, 4], "rejected": {}}
                yield request, folder, told

    def taken(self):
        """What was asked for since the last time."""
        asked, self.asked = sorted(self.asked), []
        return [name.removeprefix("hst_skycell-").replace("_wfc3_ir", "") for name in asked]


@pytest.fixture
def drizzling(monkeypatch):
    stand_in = Drizzling()
    monkeypatch.setattr(mosaic, "drizzle_layers", stand_in)
    return stand_in


class Field:
    """A target whose visits have left exposures."""

    def __init__(self, root, write):
        self.workdir = WorkDir(root, "sn1").create()
        write_settings(self.workdir, {"target": {"ra_deg": 10.0, "dec_deg": 20.0}})
        self._write, self._rows = write, []

    def add(self, visit, element="F160W", *, skycells=CELL, wcs_name="IDC_x-FIT_SVM_GAIAeDR3"):
        name = f"hst_12345_{visit[-2:]}_wfc3_ir_{element.lower()}_{visit}a0_flt.fits"
        written = self._write(name, "IR", element, skycells=skycells, wcs_name=wcs_name)
        path = self.workdir.hap_visit(visit) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        written.rename(path)
        row = {spec.key or spec.name: "" for spec in TARGET_EXPOSURE_COLUMNS}
        row |= {"file": self.workdir.relative(path), "visit": visit, "digest": f"{visit}1"}
        self._rows.append(row)

    def made_again(self, visit):
        for row in self._rows:
            if row["visit"] == visit:
                row["digest"] += "1"

    def spoil(self, visit, reason):
        for row in self._rows:
            if row["visit"] == visit:
                row["reason"] = reason

    def mosaics(self):
        table = self.workdir.hap_target_exposures

        def write():
            write_table(build_table(TARGET_EXPOSURE_COLUMNS, self._rows), table)
            return Result((table,))

        make(Recipe("hap_target_exposures"), table, self.workdir, write, redo=True)
        return make_hap_mosaics(self.workdir, load_settings(self.workdir))


@pytest.fixture
def field(tmp_path, svm_exposure):
    """Two visits in F160W, in neighbouring sky cells."""
    field = Field(tmp_path / "root", svm_exposure)
    field.add("iaaa01")
    field.add("iaaa02", skycells=NEXT)
    return field


FIRST = [f"{CELL}_f160w_all", f"{CELL}_f160w_coarse-all"]
SECOND = [name.replace(CELL, NEXT) for name in FIRST]


def test_another_visit_makes_again_the_layers_that_it_reaches_into(field, drizzling):
    assert field.mosaics().facts["n_products"] == 4
    assert drizzling.taken() == [*FIRST, *SECOND]
    assert not field.mosaics().ran
    field.add("iaaa03", skycells=NEXT)
    made = field.mosaics()
    assert drizzling.taken() == SECOND
    assert "iaaa03" in made.why
    rows = read_table(field.workdir.hap_mosaics)
    assert [int(n) for n in rows["n_visits"]] == [1, 1, 2, 2]


def test_every_layer_has_a_picture_also_one_that_is_kept(field, drizzling):
    field.mosaics()
    drizzling.taken()
    field.add("iaaa03", skycells=NEXT)
    previews = field.mosaics().facts["previews"]
    assert drizzling.taken() == SECOND
    images = sorted(field.workdir.hap_mosaics_folder.glob("skycell-*/*_drz.fits"))
    assert len(images) == 4
    pictures = sorted(field.workdir.absolute(each) for each in previews)
    assert pictures == [WorkDir.preview(image) for image in images]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)


def test_a_visit_that_was_made_again_makes_its_own_layers_again(field, drizzling):
    field.mosaics()
    drizzling.taken()
    field.made_again("iaaa01")
    field.mosaics()
    assert drizzling.taken() == FIRST


def test_a_layer_that_fails_costs_itself(field, drizzling):
    drizzling.failing.add(f"hst_skycell-{CELL}_wfc3_ir_f160w_all")
    made = field.mosaics()
    (failed,) = made.facts["failed"]
    assert failed.startswith(f"skycell-{CELL} ir f160w fine: ")
    assert made.facts["n_products"] == 3
    (check,) = [each for each in ASSETS["hap_mosaics"].checks if each.name == "all_products_made"]
    assert not check.find(made, field.workdir).passed


def test_an_exposure_that_is_not_aligned_is_left_out_and_named(field, drizzling):
    field.add("iaaa03", wcs_name=NOT_FITTED)
    made = field.mosaics()
    (told,) = made.facts["left_out"]
    assert "iaaa03a0_flt.fits: not aligned to Gaia" in told
    write_settings(field.workdir, {"hap": {"accept_a_priori_wcs": True}})
    accepted = field.mosaics()
    assert accepted.ran
    assert accepted.facts["left_out"] == []
    assert ["iaaa03a0_flt.fits" in name for name in accepted.facts["not_aligned"]] == [True]


def test_an_exposure_that_cannot_be_used_is_left_out_and_named(field, drizzling):
    field.spoil("iaaa02", "it has no sky cell")
    made = field.mosaics()
    assert drizzling.taken() == FIRST
    (told,) = made.facts["left_out"]
    assert told.endswith("iaaa02a0_flt.fits: it has no sky cell")


def test_no_exposure_leaves_an_index_of_nothing(tmp_path, svm_exposure, drizzling):
    field = Field(tmp_path / "root", svm_exposure)
    field.add("iaaa01")
    image = field.workdir.hap_mosaics_folder / f"skycell-{CELL}"
    field.mosaics()
    assert list(image.glob("*_drz.fits"))
    field.spoil("iaaa01", "gone")
    made = field.mosaics()
    assert made.facts["note"] == "no visit has an exposure that a mosaic is made of"
    assert not list(image.glob("*_drz.fits"))
    assert len(read_table(field.workdir.hap_mosaics)) == 0


def test_without_the_table_nothing_is_made(tmp_path):
    workdir = WorkDir(tmp_path, "sn1").create()
    write_settings(workdir, {"target": {"ra_deg": 10.0, "dec_deg": 20.0}})
    with pytest.raises(MissingProduct, match="no table of the visits"):
        make_hap_mosaics(workdir, load_settings(workdir))

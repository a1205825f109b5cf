"""When the reference's choice stands, and when the image is built again (nothing is drizzled)."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from hst_assets.astrometry import reference
from hst_assets.astrometry.reference_frame import read_note
from hst_assets.exposures.raw import RawFile, write_ledger
from hst_assets.exposures.table import write_table
from hst_assets.provenance import Result, sha256_of_file
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir


class Target:
    """A target whose reference is built at once, and who counts how often it was."""

    def __init__(self, root, monkeypatch):
        self.workdir = WorkDir(root, "sn1").create()
        self.rows = []
        self.built = []
        monkeypatch.setattr(reference, "_build", self._build)

    def add(self, filter_name, epoch, exptime, used=True):
        root = f"iaaa01a{len(self.rows)}q"
        self.rows.append((f"{root}_flc.fits", root, filter_name, epoch, exptime, used))
        for name, *_ in self.rows:
            (self.workdir.raw / name).write_text(name)
        write_ledger(self.workdir, [self._raw_file(name) for name, *_ in self.rows])
        self._write_table()

    def refuse(self, number):
        self.rows[number] = (*self.rows[number][:-1], False)
        self._write_table()

    def make(self, settings=None, **options):
        return reference.make_reference(
            self.workdir, Settings.model_validate(settings or {}), **options
        )

    @property
    def exposures(self):
        return sorted(read_note(self.workdir)["choice"]["exposures"])

    def _build(self, workdir, _settings, choice, _corrections, recipe, product):
        self.built.append(choice.band)
        product.write_text(choice.band)
        inputs = {key.removeprefix("raw:"): sha for key, sha in recipe.inputs.items()}
        note = {
            "image": workdir.relative(product),
            "user": False,
            "choice": choice.as_json(),
            "inputs": inputs,
        }
        return Result((product,), {"note": note})

    def _raw_file(self, name):
        path = self.workdir.raw / name
        status = path.stat()
        return RawFile(
            name=name,
            rootname=name[:9],
            visit=name[:6],
            suffix="flc",
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            sha256=sha256_of_file(path),
        )

    def _write_table(self):
        columns = list(zip(*self.rows, strict=True))
        table = QTable(
            {
                "file": columns[0],
                "rootname": columns[1],
                "detector_key": ["wfc3_uvis"] * len(self.rows),
                "filter": columns[2],
                "epoch": columns[3],
                "exptime": np.array(columns[4], dtype=float) * u.s,
                "mjd_start": np.arange(float(len(self.rows))) * u.day,
                "used": columns[5],
            }
        )
        write_table(table, self.workdir.target_exposures)


@pytest.fixture
def target(tmp_path, monkeypatch):
    target = Target(tmp_path, monkeypatch)
    target.add("F606W", 1, 500)
    target.add("F606W", 1, 500)
    target.make()
    target.built.clear()
    return target


FIRST = ["iaaa01a0q_flc.fits", "iaaa01a1q_flc.fits"]


def test_nothing_changed_builds_nothing(target):
    assert not target.make().ran
    assert target.built == []


def test_a_deeper_newcomer_does_not_move_the_frame(target):
    target.add("F814W", 2, 5000)
    assert not target.make().ran
    assert target.exposures == FIRST


def test_a_setting_that_leads_to_the_same_choice_builds_nothing(target):
    assert not target.make({"reference": {"avoid_wfpc2": True}}).ran


def test_after_such_a_setting_the_choice_is_as_sticky_as_before(target):
    target.make({"reference": {"avoid_wfpc2": True}})
    target.add("F814W", 2, 5000)
    assert not target.make({"reference": {"avoid_wfpc2": True}}).ran
    assert target.exposures == FIRST


def test_a_reference_setting_chooses_afresh(target):
    target.add("F814W", 2, 5000)
    assert target.make({"reference": {"filter": ["F814W"]}}).ran
    assert target.exposures == ["iaaa01a2q_flc.fits"]


def test_an_exposure_that_is_no_longer_used_lets_the_choice_go(target):
    target.add("F814W", 2, 600)
    target.refuse(0)
    target.make()
    assert target.exposures == ["iaaa01a2q_flc.fits"]


def test_redoing_builds_again_from_the_same_exposures(target):
    target.add("F814W", 2, 5000)
    assert target.make(redo=True).ran
    assert target.exposures == FIRST


def test_choosing_afresh_takes_the_deeper_newcomer(target):
    target.add("F814W", 2, 5000)
    assert target.make(choose_afresh=True).ran
    assert target.exposures == ["iaaa01a2q_flc.fits"]


@pytest.mark.parametrize(
    "settings",
    [
        {"drizzle": {"keep_artifacts": True}},
        {"drizzle": {"max_flux_error": 0.1}},
        {"drizzle": {"pixfrac": 0.8}},
        {"machine": {"max_cores": 1}},
    ],
)
def test_a_setting_that_does_not_matter_builds_nothing(target, settings):
    assert not target.make(settings).ran


@pytest.mark.parametrize(
    "settings",
    [
        {"drizzle": {"pixfrac": 0.7}},
        {"drizzle": {"scale_arcsec": 0.03}},
        {"alignment": {"threshold_sigma": 8}},
        {"gate": {"min_matches": 20}},
    ],
)
def test_a_setting_that_matters_builds_again_from_the_same_exposures(target, settings):
    assert target.make(settings).ran
    assert target.exposures == FIRST


def test_a_lost_note_comes_back(target):
    before = read_note(target.workdir)
    target.workdir.reference_choice.unlink()
    assert not target.make().ran
    assert read_note(target.workdir) == before

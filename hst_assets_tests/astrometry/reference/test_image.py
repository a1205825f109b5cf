"""When the reference's choice stands, and when the image is built again (nothing is drizzled)."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from hst_assets.astrometry.recipes import TOOLS as ALIGNMENT_TOOLS
from hst_assets.astrometry.reference import image as reference
from hst_assets.astrometry.reference.frame import read_note, read_reference
from hst_assets.astrometry.reference.members import Members
from hst_assets.astrometry.shape_limits import not_checked
from hst_assets.exposures.raw import RawFile, write_ledger
from hst_assets.exposures.table import write_table
from hst_assets.failures import BadConfiguration, MissingProduct, OutOfMemory, UnusableReference
from hst_assets.imaging.astrodrizzle.run import TOOLS as DRIZZLE_TOOLS
from hst_assets.imaging.box_mask import BoxMask
from hst_assets.provenance import Result, sha256_of_file
from hst_assets.settings import Settings
from hst_assets.stages import STAGES
from hst_assets.workdir import WorkDir


class Target:
    """A target whose reference is built at once, and who counts how often it was."""

    def __init__(self, root, monkeypatch):
        self.workdir = WorkDir(root, "sn1").create()
        self.rows = []
        self.built = []
        self.misshapen = set()
        self.detectors = {}
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

    def _build(self, workdir, _settings, choice, added, _corrections, recipe, product, passed_over):
        self.built.append(choice.band)
        if choice.band in self.misshapen:
            raise UnusableReference("none can be used: stars are trailed", where=choice.band)
        self.added = sorted(added)
        product.write_text(choice.band)
        inputs = {key.removeprefix("raw:"): sha for key, sha in recipe.inputs.items()}
        note = {
            "image": workdir.relative(product),
            "user": False,
            "choice": choice.as_json(),
            "inputs": inputs,
            "passed_over": list(passed_over),
        }
        return Result((product,), {"note": note, "passed_over": list(passed_over)})

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
                "detector_key": [self.detectors.get(root, "wfc3_uvis") for root in columns[1]],
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
        {"alignment": {"keep_objfile": True}},
        {"alignment": {"hierarchical": True}},
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


def test_what_is_only_looked_at_is_told_by_the_note_that_would_come_back(target):
    """Else a forecast would take all that is aligned for what cannot be made."""
    target.make()
    target.workdir.reference_catalog.touch()
    before = read_reference(target.workdir)
    target.workdir.reference_choice.unlink()
    assert read_reference(replace(target.workdir, looked_at=True)) == before
    with pytest.raises(MissingProduct, match="Materialize reference_image"):
        read_reference(target.workdir)


def test_a_new_version_of_the_drizzling_builds_again(target, monkeypatch):
    target.make()
    tomorrow = replace(STAGES["drizzled_image"], version="of tomorrow")
    monkeypatch.setitem(STAGES, "drizzled_image", tomorrow)
    made = target.make()
    assert made.ran
    assert made.why.startswith("code of drizzled_image (")
    assert "→ of tomorrow)" in made.why
    assert target.exposures == FIRST


def test_the_tools_of_alignment_and_drizzling_are_on_record(target):
    tools = target.make().record.recipe["tools"]
    assert {*ALIGNMENT_TOOLS, *DRIZZLE_TOOLS} <= set(tools)


# ------------------------------------------------------------------ choices that cannot serve


F606W, F814W, F475W = (f"wfc3_uvis.{name}" for name in ("f606w", "f814w", "f475w"))
TRAILED = f"{F606W}, epoch 1: none can be used: stars are trailed"


@pytest.fixture
def three_bands(target):
    """Three bands, of which that of the reference can no longer be used."""
    target.add("F475W", 3, 9000)
    target.add("F814W", 2, 100)
    target.misshapen.add(F606W)
    return target


def test_the_next_best_choice_takes_the_place_of_one_that_cannot_serve(three_bands):
    made = three_bands.make(choose_afresh=True)
    assert three_bands.built == [F606W, F814W]
    assert made.facts["passed_over"] == [TRAILED]
    assert read_note(three_bands.workdir)["passed_over"] == [TRAILED]
    images = [path.name for path in three_bands.workdir.base.glob("*.ref_*.drc.fits")]
    assert images == ["wfc3_uvis.f814w.ref_0002.drc.fits"]


def test_it_stands_like_any_other_and_still_says_why(three_bands):
    three_bands.make(choose_afresh=True)
    three_bands.built.clear()
    assert not three_bands.make().ran
    assert three_bands.make(redo=True).facts["passed_over"] == [TRAILED]
    assert three_bands.built == [F814W]


def test_a_choice_on_record_that_can_no_longer_serve_is_replaced(three_bands):
    assert three_bands.make({"alignment": {"threshold_sigma": 8}}).ran
    assert three_bands.built == [F606W, F814W]


def test_there_is_no_reference_only_if_no_choice_can_serve(three_bands):
    three_bands.misshapen |= {F814W, F475W}
    with pytest.raises(UnusableReference, match="none of 3 choices") as caught:
        three_bands.make(choose_afresh=True)
    assert three_bands.built == [F606W, F814W, F475W]
    assert all(band in caught.value.what for band in three_bands.built)


def test_a_failure_of_the_machine_chooses_nothing_else(three_bands, monkeypatch):
    def fail(*_):
        raise OutOfMemory("killed")

    monkeypatch.setattr(reference, "_build", fail)
    with pytest.raises(OutOfMemory):
        three_bands.make(choose_afresh=True)


def test_what_is_added_to_a_choice_is_added_to_no_other_filter(three_bands):
    three_bands.add("F606W", 5, 50)
    with pytest.raises(UnusableReference, match="its filter is F606W, that of the reference F814W"):
        three_bands.make(with_added("iaaa01a4q"), choose_afresh=True)
    assert three_bands.built == [F606W]


# ------------------------------------------------------------------ exposures that are added


def with_added(*names, **drizzle):
    return {"drizzle": {"add": list(names), **drizzle}}


def test_added_exposures_are_not_chosen_among_but_built_in(target):
    target.add("F606W", 2, 5000)
    target.make(with_added("IAAA01A2Q"), choose_afresh=True)
    assert target.exposures == FIRST
    assert target.added == ["iaaa01a2q_flc.fits"]


def test_an_exposure_that_the_selection_refused_may_be_added(target):
    target.add("F606W", 2, 5, used=False)
    assert target.make(with_added("iaaa01a2q")).ran
    assert target.added == ["iaaa01a2q_flc.fits"]


def test_adding_masking_and_the_boxs_size_each_build_again_and_only_once(target):
    target.add("F606W", 2, 5000)
    mask = {"mask": "150.1,2.2"}
    ladder = [
        with_added("iaaa01a2q"),
        with_added("iaaa01a2q", **mask),
        with_added("iaaa01a2q", **mask, mask_half_size_pix=50),
        with_added(**mask),
    ]
    for settings in ladder:
        assert target.make(settings).ran
        assert not target.make(settings).ran
    assert not target.make(with_added(mask="10:00:24 +02:12:00")).ran  # the same place


def test_the_size_of_a_box_that_is_not_asked_for_does_not_matter(target):
    assert not target.make({"drizzle": {"mask_half_size_pix": 50}}).ran


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("iaaa09a9q", "not an exposure of sn1 in raw/"),
        ("iaaa01a2q", "its filter is F814W, that of the reference F606W"),
    ],
)
def test_what_cannot_be_added_is_told(target, name, said):
    target.add("F814W", 2, 5)
    with pytest.raises(BadConfiguration, match=said):
        target.make(with_added(name))


def test_an_added_exposure_of_another_detector_is_told(target):
    target.add("F606W", 2, 5)
    target.detectors["iaaa01a2q"] = "acs_wfc"
    target._write_table()
    with pytest.raises(BadConfiguration, match="its detector is acs_wfc"):
        target.make(with_added("iaaa01a2q"))


def test_a_mask_that_is_no_position_is_refused(target):
    with pytest.raises(ValueError, match="not a position"):
        target.make(with_added(mask="over there"))


def test_a_reference_that_is_renamed_leaves_no_other_behind(target):
    (old,) = target.workdir.base.glob("*.ref_*.drc.fits")
    WorkDir.preview(old).write_text("picture")
    foreign = target.workdir.base / "mine.ref_0001.drc.fits"
    foreign.write_text("not made here")
    target.make({"drizzle": {"object_name": "sn9"}})
    images = {path.name for path in target.workdir.base.glob("*.ref_*.drc.fits")}
    assert images == {f"sn9.{old.name}", foreign.name}
    assert not WorkDir.preview(old).exists()
    assert not WorkDir.record(old).exists()


@pytest.mark.parametrize("reached", [True, False])
def test_a_box_beside_every_ordinary_exposure_is_refused(monkeypatch, tmp_path, reached):
    members = Members(
        None, 0, not_checked(""), [tmp_path / "ordinary.fits", tmp_path / "added.fits"]
    )
    box = BoxMask(150.1, 2.2, 50, filled_by=("added.fits",))
    monkeypatch.setattr(reference, "reaches", lambda path, _: reached or path.name == "added.fits")
    if reached:
        reference._refuse_beside(members, box, (10.0, 20.0))
        return
    with pytest.raises(
        BadConfiguration, match=r"150\.100000,\+2\.2.* about 10\.0+,\+20\.0"
    ) as error:
        reference._refuse_beside(members, box, (10.0, 20.0))
    assert error.value.where == "drizzle.mask"

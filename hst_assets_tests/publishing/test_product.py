"""The publication of a target into a folder: what is sent, named, kept and removed."""

import json
import os
import string
from dataclasses import replace
from pathlib import Path

import pytest

from hst_assets.failures import BadConfiguration, MissingProduct, UnusableInput
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.input_versions import lacks_product
from hst_assets.provenance import WouldBeMade, sha256_of_file
from hst_assets.publishing.manifest import Manifest
from hst_assets.publishing.product import make_published
from hst_assets.publishing.receipt import publications
from hst_assets.publishing.store import Store
from hst_assets.settings import Settings, write_settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.publishing.finished_target import STACKS, VISIT, FinishedTarget


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "published"


@pytest.fixture
def target(tmp_path, folder):
    return FinishedTarget(tmp_path / "root", destination=folder.as_uri())


def publish(target, **options):
    return make_published(target.workdir, target.settings, **options)


def manifest_of(folder, name="sn1"):
    return Manifest.parse((folder / name / "manifest.json").read_bytes(), folder)


def objects(folder):
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in found)


def test_every_file_of_the_manifest_is_there_as_in_the_work_directory(target, folder):
    made = publish(target)
    manifest = manifest_of(folder)
    assert set(manifest.products) == {
        "drizzled_stacks",
        f"hap_page/{VISIT}",
        "target_exposures",
        "target_report",
    }
    files = dict(manifest.all_files())
    assert {f"drizzle/{name}" for name in STACKS} <= files.keys()
    for path, file in files.items():
        local, there = target.workdir.absolute(path), folder / "sn1" / file.key
        assert there.read_bytes() == local.read_bytes()
        assert (file.sha256, file.size) == (sha256_of_file(there), local.stat().st_size)
        assert file.verified == "by checksum"
    named = {f"sn1/{file.key}" for file in files.values()} | {"sn1/manifest.json"}
    assert set(objects(folder)) == named
    assert made.facts["n_sent"] == made.facts["n_files"] == len(files)


def test_products_go_with_their_records_and_those_of_their_parts(target, folder):
    publish(target)
    files = manifest_of(folder).products["drizzled_stacks"].files
    index = target.workdir.relative(target.workdir.stack_products)
    for path in (index, *(f"drizzle/{name}" for name in STACKS)):
        note = json.loads((folder / "sn1" / files[f"{path}.provenance.json"].key).read_bytes())
        assert note["digest"] == files[path].recipe
        assert files[path].made_by == note["hst_assets"]
    assert files[index].recipe != files[f"drizzle/{STACKS[0]}"].recipe


def test_an_unchanged_rerun_sends_and_asks_nothing(target, folder, monkeypatch):
    first = publish(target)
    monkeypatch.setattr("hst_assets.publishing.product.Store", None)
    again = publish(target)
    assert (first.ran, again.ran) == (True, False)


def test_a_check_without_a_change_writes_nothing(target, folder):
    publish(target)
    before = {path: (folder / path).stat().st_mtime_ns for path in objects(folder)}
    made = publish(target, redo=True)
    assert made.facts["n_sent"] == 0
    assert {path: (folder / path).stat().st_mtime_ns for path in objects(folder)} == before


def test_one_changed_product_sends_that_one_and_its_old_objects_go(target, folder):
    publish(target)
    before = manifest_of(folder)
    target.make("target_report", target.workdir.report, version="2")
    made = publish(target)
    after = manifest_of(folder)
    assert made.facts["n_sent"] == 2  # the page and its record
    changed = {key for key in after.products if after.products[key] != before.products[key]}
    assert changed == {"target_report"}
    assert not (before.objects() - after.objects()) & {name[4:] for name in objects(folder)}
    assert len(objects(folder)) == len(after.objects()) + 1


def test_what_a_product_no_longer_has_is_removed(target, folder):
    publish(target)
    (target.workdir.drizzle / STACKS[1]).unlink()
    target.make_stacks(STACKS[:1])
    publish(target)
    assert not any(STACKS[1] in name for name in objects(folder))


def test_old_objects_are_there_until_the_new_manifest_stands(target, folder, monkeypatch):
    publish(target)
    before = manifest_of(folder)
    target.make_stacks(version="2")
    seen = []

    def stopped(self, key, content):
        seen.extend(objects(folder))
        raise KeyboardInterrupt

    monkeypatch.setattr("hst_assets.publishing.store.Store.write", stopped)
    with pytest.raises(KeyboardInterrupt):
        publish(target)
    assert manifest_of(folder) == before
    assert {f"sn1/{key}" for key in before.objects()} < set(seen)


def test_a_product_that_was_edited_is_told_and_stays_as_it_was_published(target, folder):
    publish(target)
    before = manifest_of(folder)
    target.workdir.report.write_text("edited")
    made = publish(target)
    assert made.facts["not_sent"] == ["target_report: file changed: report.html"]
    assert made.facts["kept"] == ["target_report"]
    assert manifest_of(folder) == before


def test_a_file_whose_time_hides_that_it_is_another_is_not_sent(target, folder):
    """Its size and time are as recorded; its bytes are not."""
    report = target.workdir.report
    times = report.stat().st_atime_ns, report.stat().st_mtime_ns
    report.write_bytes(report.read_bytes().replace(b"version 1", b"version 7"))
    os.utime(report, ns=times)
    made = publish(target)
    assert made.facts["not_sent"] == [f"target_report: file changed: {report}"]
    assert "target_report" not in manifest_of(folder).products


@pytest.mark.parametrize("when", ["report.html", "report.html.provenance.json", "visit.html"])
def test_a_product_that_is_made_again_while_it_is_sent_stays_as_it_was(
    target, folder, monkeypatch, when
):
    """Before its record is sent, when that is, or while the one behind it is."""
    publish(target)
    before = manifest_of(folder)
    target.make("target_report", target.workdir.report, version="2")
    target.make("hap_page", target.workdir.hap_page(VISIT), version="2")
    real = Store.send

    def remade(self, local, key, sha256):
        verified = real(self, local, key, sha256)
        if local.name == when:
            target.make("target_report", target.workdir.report, version="3")
        return verified

    with monkeypatch.context() as patched:
        patched.setattr(Store, "send", remade)
        made = publish(target)
    assert manifest_of(folder).products["target_report"] == before.products["target_report"]
    (told,) = made.facts["not_sent"]
    assert told.startswith("target_report: ")
    assert len(objects(folder)) == len(manifest_of(folder).objects()) + 1
    publish(target)
    report = manifest_of(folder).products["target_report"].files["report.html"]
    assert (folder / "sn1" / report.key).read_text() == target.workdir.report.read_text()


def test_what_was_not_as_recorded_when_it_was_sent_is_tried_again_by_the_next_run(target, folder):
    report = target.workdir.report
    content, status = report.read_bytes(), report.stat()
    times = status.st_atime_ns, status.st_mtime_ns
    report.write_bytes(content.replace(b"version 1", b"version 7"))
    os.utime(report, ns=times)
    publish(target)
    level = ASSETS.level_of("published_products")
    assert lacks_product(target.workdir, level, "sn1", ASSETS)
    with pytest.raises(WouldBeMade):
        make_published(replace(target.workdir, looked_at=True), target.settings)
    report.write_bytes(content)
    os.utime(report, ns=times)
    assert publish(target).ran
    assert "target_report" in manifest_of(folder).products
    assert not publish(target).ran
    assert not lacks_product(target.workdir, level, "sn1", ASSETS)


@pytest.mark.parametrize(
    ("disturb", "told"),
    [(Path.unlink, "file gone: "), (lambda path: path.write_text("another"), "file changed: ")],
    ids=["gone", "changed"],
)
def test_a_file_that_goes_or_changes_while_it_is_sent_costs_its_product_alone(
    target, folder, monkeypatch, disturb, told
):
    report, real = target.workdir.report, Store._to_file

    def disturbed(self, local, key, checksums):
        if local == report:
            disturb(report)
        return real(self, local, key, checksums)

    monkeypatch.setattr(Store, "_to_file", disturbed)
    monkeypatch.setattr("hst_assets.publishing.store.FIRST_WAIT_S", 0.01)
    assert publish(target).facts["not_sent"] == [f"target_report: {told}{report}"]
    assert f"hap_page/{VISIT}" in manifest_of(folder).products


def test_a_product_without_a_record_is_told(target, folder):
    WorkDir.record(target.workdir.report).unlink()
    made = publish(target)
    assert made.facts["not_sent"] == ["target_report: it was not finished"]


def test_a_product_that_is_gone_here_stays_published(target, folder):
    publish(target)
    before = manifest_of(folder)
    target.workdir.report.unlink()
    WorkDir.record(target.workdir.report).unlink()
    made = publish(target)
    assert made.facts["kept"] == ["target_report"]
    assert manifest_of(folder).products == before.products


def test_a_mended_product_is_sent(target, folder):
    target.workdir.report.write_text("edited")
    publish(target)
    target.make("target_report", target.workdir.report)
    assert publish(target).ran
    assert "target_report" in manifest_of(folder).products


def test_what_the_destination_lost_is_sent_again_by_a_check(target, folder):
    publish(target)
    lost = folder / "sn1" / manifest_of(folder).products["target_report"].files["report.html"].key
    lost.unlink()
    assert publish(target, redo=True).facts["n_sent"] == 1
    assert lost.is_file()


def test_what_was_damaged_at_the_destination_is_mended_by_a_check(target, folder):
    publish(target)
    report = folder / "sn1" / manifest_of(folder).products["target_report"].files["report.html"].key
    content = report.read_bytes()
    report.write_bytes(content[::-1])  # of the same size
    assert publish(target, redo=True).facts["n_sent"] == 1
    assert report.read_bytes() == content


def test_the_manifest_names_nothing_that_is_lost_on_both_sides(target, folder):
    publish(target)
    report = manifest_of(folder).products["target_report"].files["report.html"]
    (folder / "sn1" / report.key).unlink()
    target.workdir.report.write_text("edited")
    made = publish(target)
    assert "target_report" not in manifest_of(folder).products
    (told,) = made.facts["lost"]
    assert told.startswith("target_report: the store has lost objects of it")


def test_without_the_manifest_nothing_is_published_or_removed_and_it_says_what_to_do(
    target, folder
):
    publish(target)
    (folder / "sn1" / "manifest.json").unlink()
    before = objects(folder)
    target.make("target_report", target.workdir.report, version="2")
    with pytest.raises(MissingProduct, match=r"manifest .* is gone.*publish TARGET --check"):
        publish(target)
    assert objects(folder) == before


def test_a_check_writes_a_lost_manifest_again_and_keeps_what_is_gone_here(target, folder):
    publish(target)
    before = manifest_of(folder)
    (folder / "sn1" / "manifest.json").unlink()
    target.workdir.report.unlink()
    WorkDir.record(target.workdir.report).unlink()
    made = publish(target, redo=True)
    assert made.facts["kept"] == ["target_report"]
    assert manifest_of(folder).products == before.products
    assert before.objects() <= {name[4:] for name in objects(folder)}


def test_objects_that_no_manifest_of_ours_named_stay_and_are_told(target, folder):
    """Manifest and receipt are gone: nobody knows whose they are."""
    publish(target)
    before = manifest_of(folder).objects()
    (folder / "sn1" / "manifest.json").unlink()
    for path in (target.workdir.published, WorkDir.record(target.workdir.published)):
        path.unlink()
    target.make_stacks(version="2")
    made = publish(target)
    assert before <= {name[4:] for name in objects(folder)}
    (note,) = made.facts["notes"]
    assert "objects that no manifest names were left" in note


def test_one_lost_object_of_a_product_that_is_gone_here_costs_none_of_its_others(target, folder):
    publish(target)
    files = manifest_of(folder).products["drizzled_stacks"].files
    lost, other = (folder / "sn1" / files[f"drizzle/{name}"].key for name in STACKS)
    lost.unlink()
    (target.workdir.drizzle / STACKS[1]).write_text("edited")
    publish(target)
    publish(target, redo=True)
    assert "drizzled_stacks" not in manifest_of(folder).products
    assert other.is_file()


def test_what_could_not_be_removed_goes_with_the_next_publication(target, folder, monkeypatch):
    publish(target)
    before = manifest_of(folder)
    target.make_stacks(version="2")
    with monkeypatch.context() as patched:
        patched.setattr("hst_assets.publishing.store.Store.remove", lambda _, keys: ["denied"])
        publish(target)
    assert before.objects() <= {name[4:] for name in objects(folder)}
    publish(target, redo=True)
    assert {name[4:] for name in objects(folder)} == {
        *manifest_of(folder).objects(),
        "manifest.json",
    }


def test_a_run_killed_before_it_cleared_leaves_it_to_the_next(target, folder, monkeypatch):
    publish(target)
    target.make_stacks(version="2")
    with monkeypatch.context() as patched:
        patched.setattr(
            "hst_assets.publishing.product._cleared", lambda *_: (_ for _ in ()).throw(KeyError)
        )
        with pytest.raises(KeyError):
            publish(target)
    publish(target)
    assert len(objects(folder)) == len(manifest_of(folder).objects()) + 1


def test_files_of_others_at_the_destination_are_not_touched(target, folder):
    publish(target)
    mine = [folder / "sn1" / "README", folder / "sn1" / "files" / "notes.txt"]
    for path in mine:
        path.write_text("mine")
    target.make("target_report", target.workdir.report, version="2")
    publish(target)
    assert [path.read_text() for path in mine] == ["mine", "mine"]


def test_what_a_killed_run_was_writing_is_removed(target, folder):
    publish(target)
    before = objects(folder)
    unfinished = "part.0123456789abcdef0123456789abcdef."
    (folder / "sn1" / f"{unfinished}manifest.json").write_text("{")
    beside = next((folder / "sn1" / "files").rglob("report.html"))
    beside.with_name(f"{unfinished}report.html").write_text("<ht")
    publish(target, redo=True)
    assert objects(folder) == before


def test_something_else_in_the_manifests_place_is_not_overwritten(target, folder):
    manifest = folder / "sn1" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text('{"format": 2, "of": "somebody else"}')
    with pytest.raises(UnusableInput, match="no manifest that this version"):
        publish(target)
    assert objects(folder) == ["sn1/manifest.json"]
    assert "somebody else" in manifest.read_text()


def test_two_targets_do_not_meet(target, folder, tmp_path):
    other = FinishedTarget(tmp_path / "root", "sn2", folder.as_uri())
    publish(target)
    publish(other)
    other.make("target_report", other.workdir.report, version="2")
    publish(other)
    first, second = manifest_of(folder, "sn1"), manifest_of(folder, "sn2")
    assert {f"sn1/{key}" for key in first.objects()} <= set(objects(folder))
    assert {f"sn2/{key}" for key in second.objects()} <= set(objects(folder))
    assert (first.target, second.target) == ("sn1", "sn2")


@pytest.mark.parametrize(
    "name",
    ["a b?versionId=1#c%41.fits", "[x]*{y}.fits", "..fits", "é\u202e.fits", "-rf.fits", "x" * 210],
)
def test_hostile_names_have_plain_objects_and_are_named_as_they_are(target, folder, name):
    target.make_stacks([name])
    made = publish(target)
    assert made.facts["not_sent"] == []
    file = manifest_of(folder).products["drizzled_stacks"].files[f"drizzle/{name}"]
    there = folder / "sn1" / file.key
    assert there.read_bytes() == (target.workdir.drizzle / name).read_bytes()
    assert there.resolve().is_relative_to((folder / "sn1").resolve())
    assert set(file.key) <= {*string.ascii_letters, *string.digits, *"._+-/"}


def test_a_file_of_the_users_outside_is_named_and_not_sent(target, folder, tmp_path):
    mine = tmp_path / "mine.fits"
    mine.write_text("my pixels")
    target.make("target_report", target.workdir.report, others=(mine,))
    made = publish(target)
    assert made.facts["outside"] == [f"target_report: {mine}"]
    assert not any("mine" in name for name in objects(folder))


def test_a_change_of_how_it_is_verified_sends_nothing(target):
    publish(target)
    write_settings(target.workdir, {"publish": {"read_back": False}})
    assert not publish(target).ran


def test_sizes_alone_are_called_so(target, folder):
    write_settings(target.workdir, {"publish": {"read_back": False}})
    made = publish(target)
    assert made.facts["n_by_size"] == made.facts["n_files"]
    assert {file.verified for _, file in manifest_of(folder).all_files()} == {"by size"}


def test_another_destination_gets_everything(target, tmp_path):
    publish(target)
    write_settings(target.workdir, {"publish": {"destination": (tmp_path / "other").as_uri()}})
    made = publish(target)
    assert made.facts["n_sent"] == made.facts["n_files"]


def test_memory_is_a_destination_as_well(target):
    write_settings(target.workdir, {"publish": {"destination": "memory://of-this-test/prefix"}})
    made = publish(target)
    assert made.facts["n_by_checksum"] == made.facts["n_files"]
    assert publish(target, redo=True).facts["n_sent"] == 0


def test_without_a_destination_it_says_how_one_is_set(target):
    with pytest.raises(BadConfiguration, match=r"publish\.destination=s3://BUCKET/PREFIX"):
        make_published(target.workdir, Settings())


def test_a_kind_of_address_that_nobody_knows_is_a_bad_setting(target):
    write_settings(target.workdir, {"publish": {"destination": "s4://bucket/prefix"}})
    with pytest.raises(BadConfiguration, match="cannot be an address"):
        publish(target)


def test_without_a_table_of_exposures_there_is_nothing_to_publish(target):
    WorkDir.record(target.workdir.target_exposures).unlink()
    with pytest.raises(MissingProduct, match="no table of exposures"):
        publish(target)


def test_how_each_product_is_published_is_told_without_asking_the_store(target, monkeypatch):
    def states():
        return dict(publications(target.workdir, target.settings))

    assert set(states().values()) == {"not published"}
    publish(target)
    monkeypatch.setattr("hst_assets.publishing.product.Store", None)
    assert set(states().values()) == {"published"}
    target.make_stacks(version="2")
    target.workdir.report.write_text("edited")
    assert states() == {
        "target_exposures": "published",
        "drizzled_stacks": "out of date",
        "target_report": "not fit",
        f"hap_page/{VISIT}": "published",
    }


def test_progress_is_told_product_by_product(target):
    told = []
    publish(target, progress=lambda progress: told.append((progress.step, progress.fraction)))
    assert [step for step, _ in told][:2] == ["target_exposures", "drizzled_stacks"]
    assert told[0][1] == 0
    assert all(0 <= fraction < 1 for _, fraction in told)


def test_a_destination_that_cannot_be_written_is_told(target, folder):
    folder.parent.mkdir(exist_ok=True)
    Path(folder).write_text("a file is in the way")
    with pytest.raises(Exception, match="published") as caught:
        publish(target)
    assert type(caught.value).__module__ == "hst_assets.failures"

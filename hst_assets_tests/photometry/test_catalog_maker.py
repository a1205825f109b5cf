"""Which photometer measures: the one that is asked for, or DOLPHOT where it is installed."""

from __future__ import annotations

import pytest

from hst_assets.failures import MissingTool
from hst_assets.photometry.catalog_maker import make_catalog
from hst_assets.photometry.psf import catalog_run
from hst_assets.photometry.star_catalog import make_star_catalog
from hst_assets.products.columns import read_table
from hst_assets.provenance import read_record
from hst_assets.settings import load_settings, write_settings
from hst_assets.stages import STAGES
from hst_assets_tests.photometry.psf.embedded_field import KnowingEngine, embedded_field
from hst_assets_tests.stand_ins.dolphot_program import DolphotProgram


@pytest.fixture
def engine(monkeypatch):
    engine = KnowingEngine()
    monkeypatch.setattr(catalog_run, "measure_target", engine)
    return engine


@pytest.fixture
def workdir(tmp_path, monkeypatch, engine):
    """A field that asks for nothing; DOLPHOT is not installed."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    return embedded_field(tmp_path / "root", "[photometry]\nmake = true\n")


@pytest.fixture
def program(tmp_path):
    return DolphotProgram(tmp_path / "bin")


def run(workdir, **more):
    return make_catalog(workdir, load_settings(workdir), **more)


def chosen(workdir, photometer):
    write_settings(workdir, {"photometry": {"photometer": photometer}})


def stage(workdir):
    return read_record(workdir.dolphot / "dp0000").recipe["stage"]


def test_where_dolphot_is_missing_the_embedded_photometer_measures(workdir, engine):
    assert run(workdir).facts["program"].startswith("embedded")
    assert len(engine.calls) == 1


def test_where_dolphot_is_installed_it_measures(workdir, engine, program, monkeypatch):
    monkeypatch.setenv("PATH", str(program.folder))
    assert run(workdir).facts["program"].startswith("DOLPHOT")
    assert engine.calls == []


def test_who_asks_for_dolphot_gets_no_other(workdir, engine):
    chosen(workdir, "dolphot")
    with pytest.raises(MissingTool, match="not installed"):
        run(workdir)
    chosen(workdir, "auto")
    write_settings(workdir, {"dolphot": {"program": "nowhere/dolphot"}})
    with pytest.raises(MissingTool, match=r"dolphot\.program"):
        run(workdir)
    assert engine.calls == []


def test_the_embedded_photometer_measures_where_dolphot_is_installed(workdir, program, monkeypatch):
    monkeypatch.setenv("PATH", str(program.folder))
    chosen(workdir, "embedded")
    assert run(workdir).facts["program"].startswith("embedded")
    assert program.runs == []


def test_a_catalogue_by_dolphot_stays_where_it_is_gone(workdir, engine, program, monkeypatch):
    monkeypatch.setenv("PATH", str(program.folder))
    first = run(workdir)
    monkeypatch.setenv("PATH", str(workdir.root))
    again = run(workdir)
    assert (again.ran, again.digest, engine.calls) == (False, first.digest, [])
    write_settings(workdir, {"dolphot": {"SigFinal": 4.0}})  # no longer up to date
    assert run(workdir).facts["program"].startswith("embedded")


def test_redo_does_not_wait_for_dolphot(workdir, engine, program, monkeypatch):
    monkeypatch.setenv("PATH", str(program.folder))
    run(workdir)
    monkeypatch.setenv("PATH", str(workdir.root))
    assert run(workdir, redo=True).facts["program"].startswith("embedded")


def test_another_photometer_makes_it_again_and_says_why(workdir, program, monkeypatch):
    monkeypatch.setenv("PATH", str(program.folder))
    run(workdir)
    assert (workdir.dolphot / "dp0000.output").is_file()
    chosen(workdir, "embedded")
    made = run(workdir)
    assert made.why == "made by another stage before: dolphot_catalog"
    assert stage(workdir) == "embedded_catalog"
    assert not (workdir.dolphot / "dp0000.output").exists()
    assert not (workdir.dolphot / "not_made_here").exists()
    chosen(workdir, "dolphot")
    assert run(workdir).why == "made by another stage before: embedded_catalog"
    assert not (workdir.dolphot / "dp0000.3.res.fits").exists()


def test_the_asset_shows_an_embedded_catalogue(workdir):
    made = make_star_catalog(workdir, load_settings(workdir))
    (row,) = read_table(workdir.star_catalog)
    assert row["photometer"].startswith(f"embedded {STAGES['embedded_catalog'].version}, ")
    assert (row["n_objects"], row["filters"]) == (60, "WFC3_F814W")
    assert made.facts["previews"] == ["dolphot/dp0000.1.res.png"]
    assert (workdir.dolphot / "dp0000.h5").is_file()


def test_dolphots_alignment_alone_does_not_concern_it(workdir):
    write_settings(workdir, {"dolphot": {"AlignOnly": 1}})
    made = make_star_catalog(workdir, load_settings(workdir))
    assert made.facts["n_objects"] == 60

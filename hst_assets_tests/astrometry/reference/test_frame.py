import pytest

from hst_assets.astrometry.reference.frame import read_reference
from hst_assets.failures import MissingProduct
from hst_assets.provenance import Recipe, Result, make
from hst_assets.workdir import WorkDir
from hst_assets_tests.stand_ins.reference_note import note_reference


def test_no_reference_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(MissingProduct, match="Materialize reference_image"):
        read_reference(WorkDir(tmp_path, "field"))


@pytest.fixture
def workdir(tmp_path):
    workdir = WorkDir(tmp_path, "field").create()
    workdir.reference_catalog.write_text("stars")
    return workdir


def made(workdir, product, **inputs):
    """A product and its record; the digest."""
    product.write_text(str(inputs))
    recipe = Recipe("stage", "1", inputs)
    return make(recipe, product, workdir, lambda: Result((product,), {})).digest


@pytest.fixture
def tied(workdir):
    """A work directory whose reference is on the absolute catalogue; that catalogue's digest."""
    digest = made(workdir, workdir.absolute_catalog, table="of then")
    image = workdir.workspace / "a.drc.fits"
    made(workdir, image)
    tie = {"catalogue": "mine.csv", "reason": "", "absolute": True}
    note_reference(workdir, image, tie=tie, absolute_catalog=digest)
    return workdir


def test_a_reference_on_the_absolute_catalogue_names_it(tied):
    assert read_reference(tied).absolute == tied.absolute_catalog


def test_another_absolute_catalogue_than_the_references_is_not_aligned_to(tied):
    made(tied, tied.absolute_catalog, table="of now")
    with pytest.raises(MissingProduct, match="not the one to which the reference was aligned"):
        read_reference(tied)


def test_an_absolute_catalogue_that_was_not_finished_is_not_aligned_to(tied):
    tied.record(tied.absolute_catalog).unlink()
    with pytest.raises(MissingProduct, match="not the one to which the reference was aligned"):
        read_reference(tied)

"""A small archive, empty, with a visit, and with that visit in raw/."""

import pytest

from hst_assets_tests.archive.served_files import CONTENTS
from hst_assets_tests.archive.small_archive import SmallArchive, failures
from hst_assets_tests.stand_ins.file_service import FileService


@pytest.fixture
def archive(tmp_path):
    with SmallArchive(tmp_path).running() as archive:
        yield archive


@pytest.fixture
def stocked(archive):
    """An archive with a visit of two exposures."""
    archive.add("jddd04ghq")
    archive.add("jddd04giq")
    return archive


@pytest.fixture
def delivered(stocked):
    """Its visit is in raw/, and nobody has asked for anything since."""
    assert failures(stocked.sync_visit()) == {}
    stocked.asked()
    return stocked


@pytest.fixture
def files():
    service = FileService()
    for name, content in CONTENTS.items():
        service.hold(name, content)
    with service.running():
        yield service

import pytest

from hst_assets_tests.stand_ins.file_service import FileService
from hst_assets_tests.transfer.served_file import CONTENT, NAME


@pytest.fixture
def files():
    service = FileService()
    service.hold(NAME, CONTENT)
    with service.running():
        yield service


@pytest.fixture
def part(tmp_path):
    return tmp_path / f"{NAME}.part"

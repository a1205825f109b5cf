from pathlib import Path

import pytest

from hst_assets.workdir import WorkDir
from hst_assets_tests.products.small_texts import Writer


@pytest.fixture
def workdir(tmp_path: Path) -> WorkDir:
    return WorkDir(tmp_path, "sn").create()


@pytest.fixture
def writer() -> Writer:
    return Writer()

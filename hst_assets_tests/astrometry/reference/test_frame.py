import pytest

from hst_assets.astrometry.reference.frame import read_reference
from hst_assets.failures import MissingProduct
from hst_assets.workdir import WorkDir


def test_no_reference_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(MissingProduct, match="Materialize reference_image"):
        read_reference(WorkDir(tmp_path, "field"))

"""The examples of the guide, run on what was published to a server of S3."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.units import Quantity

from hst_assets.provenance import Recipe, Result, make
from hst_assets.publishing.product import make_published
from hst_assets_tests.publishing.finished_target import FinishedTarget

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "publishing.md"
#: The example shows pixels up to 1200.
SIDE = 1210


@pytest.fixture
def published(tmp_path, store):
    bucket = store.new_bucket()
    target = FinishedTarget(tmp_path / "root", destination=f"s3://{bucket}/prefix")
    pixels = np.arange(SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    content = io.BytesIO()
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(pixels, name="SCI")]
    fits.HDUList(hdus).writeto(content)
    target.make_stacks(version="2", content=content.getvalue())
    _light_curve(target.workdir)
    make_published(target.workdir, target.settings)
    return target, f"s3://{bucket}/prefix/sn1", pixels


def _light_curve(workdir):
    path = workdir.light_curve

    def run():
        path.parent.mkdir()
        QTable({"flux_ujy": Quantity([1.0, 2.0], "uJy")}).write(path, format="ascii.ecsv")
        return Result((path,))

    make(Recipe("light_curve", "1"), path, workdir, run)


def test_what_the_page_shows_reads_what_was_published(published, tmp_path, monkeypatch):
    target, address, pixels = published
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(examples) == 3
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.chdir(there)
    names = {}
    for example in examples:
        exec(example.replace("s3://BUCKET/PREFIX/TARGET", address), names)  # the page's own code
    assert np.array_equal(names["cutout"], pixels[1000:1200, 1000:1200])
    assert names["table"]["flux_ujy"].unit == "uJy"
    for product in names["manifest"]["products"].values():
        for path in product["files"]:
            assert (there / path).read_bytes() == target.workdir.absolute(path).read_bytes()

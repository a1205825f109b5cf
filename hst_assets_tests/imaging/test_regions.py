"""Region files against the WCS of the exposures, read back as DS9 would."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from regions import PolygonSkyRegion, Regions

from hst_assets.imaging.plan import aligned_exposures
from hst_assets.imaging.regions import by_epoch, by_filter, write_footprints
from hst_assets.products.columns import read_table
from hst_assets_tests.imaging.conftest import VISITS

pytestmark = pytest.mark.xdist_group("imaging")  # shares the simulated campaign


@pytest.fixture
def exposures(workdir):
    return aligned_exposures(workdir, read_table(workdir.target_exposures), VISITS)


def read_back(path) -> list[PolygonSkyRegion]:
    return list(Regions.read(path, format="ds9"))


def test_each_chip_is_a_polygon_with_its_label(workdir, exposures) -> None:
    path = write_footprints(workdir.target_footprints, exposures, workdir, group=by_epoch)
    labels = [region.meta["text"] for region in read_back(path)]
    assert len(labels) == len(exposures) == 5
    assert labels[0] == "isim01a0q chip 2 F606W 300 s"
    assert "isim02a1q chip 2 F814W 300 s" in labels


def test_polygons_follow_the_chips_as_their_wcs_has_them(workdir, exposures) -> None:
    """To a thousandth of a pixel at the corners, in ICRS; 0.2 pixel along the edges."""
    path = write_footprints(workdir.target_footprints, exposures, workdir, group=by_epoch)
    for region, exposure in zip(read_back(path), exposures, strict=True):
        assert region.vertices.frame.name == "icrs"
        with fits.open(workdir.aligned(exposure.file)) as hdus:
            wcs = WCS(hdus["SCI"].header, fobj=hdus)
            ny, nx = hdus["SCI"].data.shape
        x, y = wcs.all_world2pix(region.vertices.ra.deg, region.vertices.dec.deg, 0)
        for corner in ((-0.5, -0.5), (nx - 0.5, -0.5), (nx - 0.5, ny - 0.5), (-0.5, ny - 0.5)):
            assert np.min(np.hypot(x - corner[0], y - corner[1])) < 1e-3
        from_edge = np.min(np.abs([x + 0.5, x - (nx - 0.5), y + 0.5, y - (ny - 0.5)]), axis=0)
        assert np.max(from_edge) < 1e-3


def test_epochs_have_colours_and_tags(workdir, exposures) -> None:
    path = write_footprints(workdir.target_footprints, exposures, workdir, group=by_epoch)
    colours = {}
    for region, exposure in zip(read_back(path), exposures, strict=True):
        assert region.meta["tag"] == [f"epoch {exposure.epoch}"]
        colours.setdefault(exposure.epoch, set()).add(region.visual["edgecolor"])
    assert all(len(of_epoch) == 1 for of_epoch in colours.values())
    assert len(set.union(*colours.values())) == len(colours) == 3


def test_filters_have_colours_and_tags(workdir, exposures) -> None:
    path = write_footprints(workdir.target_footprints, exposures, workdir, group=by_filter)
    tags = {region.meta["tag"][0]: region.visual["edgecolor"] for region in read_back(path)}
    assert set(tags) == {"wfc3_uvis.f606w", "wfc3_uvis.f814w"}
    assert len(set(tags.values())) == 2


def test_an_exposure_is_drawn_once(workdir, exposures) -> None:
    path = write_footprints(
        workdir.target_footprints, [*exposures, *exposures], workdir, group=by_epoch
    )
    assert len(read_back(path)) == len(exposures)


def test_an_exposure_whose_file_is_gone_is_left_out(workdir, exposures) -> None:
    workdir.aligned(exposures[0].file).unlink()
    path = write_footprints(workdir.target_footprints, exposures, workdir, group=by_epoch)
    assert len(read_back(path)) == len(exposures) - 1

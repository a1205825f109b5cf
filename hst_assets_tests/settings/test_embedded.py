"""Settings of the embedded photometer: what is refused, and what decides a catalogue."""

import pytest
from pydantic import ValidationError

from hst_assets.settings import EmbeddedSettings, Settings


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"final_snr": 6.0}, "final_snr is at most find_snr"),
        ({"flag_mask": 8}, "flag_mask"),
        ({"n_searches": 0}, "n_searches"),
        ({"psf_radius_pix": 3}, "psf_radius_pix"),
        ({"aperture_radius_arcsec": 0.05}, "aperture_radius_arcsec"),
        ({"tile_pix": 64}, "tile_pix"),
        ({"tile_memory_gb": 0.0}, "tile_memory_gb"),
        ({"psf_grids": {"uvis": "a.fits"}}, "not a detector and filter"),
        ({"psf_grids": {"wfc3_uvis.f160w": "a.fits"}}, "wfc3_uvis has no filter F160W"),
    ],
)
def test_what_makes_no_sense_is_refused(table, said):
    with pytest.raises(ValidationError, match=said):
        EmbeddedSettings.model_validate(table)


def test_where_a_grid_lies_decides_no_catalogue():
    moved = EmbeddedSettings.model_validate({"psf_grids": {"wfpc2.f606w": "/data/a.fits"}})
    assert moved.as_recipe() == Settings().embedded.as_recipe()
    assert "psf_grids" not in moved.as_recipe()


def test_a_search_may_be_as_deep_as_the_catalogue():
    assert EmbeddedSettings(find_snr=3.5).final_snr == 3.5

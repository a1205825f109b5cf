"""Flags of a product's pixels."""

from __future__ import annotations

import numpy as np
import pytest

from hst_assets.detectors import DETECTORS
from hst_assets.imaging.noise import Exposed, NoiseModel, exposed, noise_model
from hst_assets.imaging.product_flags import ProductFlag, product_flags
from hst_assets_tests.imaging.synthetic_stacks import primary_header

SHAPE = (8, 8)


@pytest.fixture
def reached() -> tuple[NoiseModel, Exposed]:
    """Two exposures, 1000 s each, which reached every pixel."""
    header = primary_header()
    model = noise_model(header)
    weight = np.full(SHAPE, header["EXPTIME"], np.float32)
    context = np.full(SHAPE, 2 ** len(model.exptimes_s) - 1, np.int32)
    return model, exposed(model, weight, context)


@pytest.mark.parametrize(("key", "flagged"), [("wfc3_uvis", True), ("wfc3_ir", False)])
def test_what_fills_the_well_is_saturated_but_for_rates_of_ramps(key, flagged, reached):
    """WFC3/IR's rate of a bright star is that of the reads before its pixels were full."""
    model, where = reached
    detector = DETECTORS[key]
    rate = np.zeros(SHAPE, np.float32)
    rate[4, 4] = 2 * model.saturation_e_per_s / model.gain_e
    flags = product_flags(rate, where, model, detector)
    assert bool(flags[4, 4] & ProductFlag.SATURATED) is flagged
    assert not (np.delete(flags.ravel(), 4 * SHAPE[1] + 4) & ProductFlag.SATURATED).any()


def test_a_ramp_that_never_held_is_saturated_by_the_flags_of_its_exposures(reached):
    model, where = reached
    saturated = np.zeros(SHAPE, bool)
    saturated[2, 3] = True
    flags = product_flags(
        np.zeros(SHAPE, np.float32),
        where,
        model,
        DETECTORS["wfc3_ir"],
        saturated=saturated,
        saturated_counts=True,
    )
    assert flags[2, 3] & ProductFlag.SATURATED

import numpy as np

from hst_assets.detection.lacosmic import lacosmic
from hst_assets.detectors import DETECTORS

DETECTOR = DETECTORS["wfc3_uvis"]


def struck(*places: tuple[int, int]) -> np.ndarray:
    """A noisy sky with one bright pixel at each place."""
    data = np.random.default_rng(1).normal(100.0, 3.0, (64, 64)).astype(np.float32)
    for y, x in places:
        data[y, x] += 2000
    return data


def test_a_single_bright_pixel_is_found_and_taken_out() -> None:
    data = struck((20, 30), (40, 50))
    found, cleaned = lacosmic(data, np.zeros(data.shape, bool), DETECTOR, rounds=4)
    assert found[20, 30]
    assert found[40, 50]
    assert np.count_nonzero(found) < 20
    assert cleaned[20, 30] < 150


def test_what_is_ignored_is_not_found() -> None:
    data = struck((20, 30), (40, 50))
    ignored = np.zeros(data.shape, bool)
    ignored[20, 30] = True
    found, _ = lacosmic(data, ignored, DETECTOR, rounds=4)
    assert found[40, 50]
    assert not found[20, 30]

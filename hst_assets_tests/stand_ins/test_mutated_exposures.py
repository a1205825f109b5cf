"""A small part of ``benchmarks/ingest_fuzz.py``: damaged files lead to verdicts, and to no more."""

import numpy as np
import pytest

from hst_assets_tests.stand_ins.mutated_exposures import MUTATIONS, fuzz, seeds_of


def test_damaged_files_lead_to_a_verdict_and_nothing_else(tmp_path):
    tally = fuzz(tmp_path, 250, seed=20261129)
    assert tally.wrong == []
    assert tally.n_files == 250
    # Some damage is harmless, most is not: otherwise this would test nothing.
    assert 15 < tally.n_accepted < 150
    assert len(tally.kinds) > 10


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda way: way.__name__)
def test_each_way_damages(tmp_path, mutate):
    content = seeds_of(tmp_path / "seeds")[0].read_bytes()
    mutated = [bytes(mutate(bytearray(content), np.random.default_rng(n))) for n in range(4)]
    assert any(each != content for each in mutated)

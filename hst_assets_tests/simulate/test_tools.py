"""The tools that the headers are made for take them as they are."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hst_assets.simulate.scoring import alignment_scores, photometry_score, star_fluxes

SCRIPT = Path(__file__).with_name("run_drizzlepac.py")


@pytest.mark.slow
@pytest.mark.parametrize("key", ["wfc3_uvis", "wfc3_ir", "acs_wfc", "acs_hrc", "wfpc2"])
def test_tweakreg_astrodrizzle_and_hap_accept_the_exposures(key, campaign, tmp_path):
    truth = campaign(key)
    for path in truth.exposure_files:
        shutil.copy(path, tmp_path)
    copies = [tmp_path / path.name for path in truth.science_files()]
    log = tmp_path / "log.txt"
    with log.open("wb") as output:
        subprocess.run(
            [sys.executable, str(SCRIPT), key, *(path.name for path in copies)],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=500,
            check=False,
            env={**os.environ, "ASTROMETRY_STEP_CONTROL": "OFF", "MPLBACKEND": "Agg"},
        )
    (product,) = tmp_path.glob("out_dr?.fits")
    accepted = json.loads((tmp_path / "accepted.json").read_text())
    assert len(accepted) == (0 if key == "wfpc2" else len(copies))
    assert all(accepted.values())

    scores = alignment_scores(copies, truth, reference=str(truth.exposures["rootname"][0]))
    # A tenth of a pixel between exposures, whose jitter of 10 mas was up to half of one.
    assert scores["relative_pix"].max() < 0.1

    fluxes = star_fluxes(product, truth, key, str(truth.exposures["filter"][0]))
    score = photometry_score(fluxes)
    assert score.n_stars >= 4
    assert score.median_ratio == pytest.approx(1.0, abs=0.01)

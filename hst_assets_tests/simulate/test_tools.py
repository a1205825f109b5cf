"""The tools that the headers are made for take them as they are."""

import shutil
from pathlib import Path

import pytest

from hst_assets.failures import HstAssetsError
from hst_assets.isolation import Call, run_many_isolated
from hst_assets.simulate.scoring import alignment_scores, photometry_score, star_fluxes

KEYS = ["wfc3_uvis", "wfc3_ir", "acs_wfc", "acs_hrc", "wfpc2"]

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("small_campaigns")]


@pytest.fixture(scope="module")
def processed(campaign, tmp_path_factory):
    """Folder and answer of each detector's run, all in one go: drizzlepac is imported once."""
    calls = {}
    for key in KEYS:
        folder = tmp_path_factory.mktemp(f"tools_{key}")
        truth = campaign(key)
        for path in truth.exposure_files:
            shutil.copy(path, folder)
        names = [path.name for path in truth.science_files()]
        arguments = {"detector_key": key, "names": names}
        calls[key] = Call(arguments, scratch=folder, log_path=folder / "log.txt")
    answers = run_many_isolated(
        "run_drizzlepac:process",
        list(calls.values()),
        timeout_s=300,
        max_cores=2,
        environment={"PYTHONPATH": str(Path(__file__).parent)},
    )
    return {
        key: (call.scratch, answer)
        for (key, call), answer in zip(calls.items(), answers, strict=True)
    }


@pytest.mark.parametrize("key", KEYS)
def test_tweakreg_astrodrizzle_and_hap_accept_the_exposures(key, campaign, processed):
    truth = campaign(key)
    folder, accepted = processed[key]
    assert not isinstance(accepted, HstAssetsError), accepted
    copies = [folder / path.name for path in truth.science_files()]
    # For WFPC2, HAP wants another file format.
    assert len(accepted) == (0 if key == "wfpc2" else len(copies))
    assert all(accepted.values())
    (product,) = folder.glob("out_dr?.fits")

    scores = alignment_scores(copies, truth, reference=str(truth.exposures["rootname"][0]))
    # A tenth of a pixel between exposures, whose jitter of 10 mas was up to half of one.
    assert scores["relative_pix"].max() < 0.1

    fluxes = star_fluxes(product, truth, key, str(truth.exposures["filter"][0]))
    score = photometry_score(fluxes)
    assert score.n_stars >= 4
    assert score.median_ratio == pytest.approx(1.0, abs=0.01)

"""Real exposures through every asset, as `hst-assets ingest` and `materialize` run them."""

from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from hst_assets.exposures.ingest import ingest
from hst_assets.orchestration.build import build_defs
from hst_assets.orchestration.run_target import run_target
from hst_assets.provenance import sha256_of_file
from hst_assets.settings import write_settings
from hst_assets.workdir import WorkDir

REAL = Path(__file__).parents[3] / "shared" / "data" / "real"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.slow,
    pytest.mark.skipif(not REAL.is_dir(), reason=f"the real exposures are not at {REAL}"),
]


@pytest.fixture
def through_the_graph(tmp_path):
    """Ingest a folder, set settings, walk all levels; return work directory and outcomes."""

    def run(folder, settings=None, **position):
        workdir = WorkDir(tmp_path, "real")
        report = ingest([REAL / name for name in folder], workdir, **position)
        assert report.accepted
        assert not report.rejected
        write_settings(workdir, settings or {})
        before = {path.name: sha256_of_file(path) for path in workdir.raw.glob("*.fits")}
        with dg.DagsterInstance.ephemeral() as instance:
            outcomes = list(run_target(build_defs(root=str(tmp_path)), instance, workdir))
        after = {path.name: sha256_of_file(path) for path in workdir.raw.glob("*.fits")}
        assert after == before, "raw/ was touched"
        return workdir, outcomes

    return run


def alignment(workdir, visit):
    return QTable.read(workdir.visit_alignment(visit), format="ascii.ecsv")


def failures(outcomes):
    return [text for outcome in outcomes for text in outcome.failures]


def test_2013fy27_fails_to_align_and_is_drizzled_with_the_archives_wcs(through_the_graph):
    """Two stars and many cosmic rays: a fit that passed here would be false by pixels."""
    workdir, outcomes = through_the_graph(
        ["wfc3_uvis_2013fy27"], {"alignment": {"on_failure": "keep_a_priori"}}
    )
    assert failures(outcomes) == []
    table = alignment(workdir, "idsj02")
    assert len(table) == 8
    assert not np.any(table["status"] == "PASS")
    assert all(reason for reason in table["reason"])
    assert all(table["used"])
    (stack,) = workdir.drizzle.glob("*.ut*.drc.fits")
    with fits.open(stack) as hdus:
        assert hdus[0].header["NINPUT"] == 8
        assert hdus[0].header["EXPTIME"] == pytest.approx(1600.0)
        covered = hdus["WHT"].data > 0
        assert np.isfinite(hdus["SCI"].data[covered]).all()
        assert covered.sum() > 512 * 513 * 0.9
    raw_wcs = fits.getheader(workdir.raw / "idsj02azq_flc.fits", "SCI", 1)
    kept_wcs = fits.getheader(workdir.aligned("idsj02azq_flc.fits"), "SCI", 1)
    for card in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        assert kept_wcs[card] == raw_wcs[card]


def test_the_47_tuc_pair_is_aligned_to_a_tenth_of_a_pixel_and_drizzled_together(through_the_graph):
    workdir, outcomes = through_the_graph(
        ["acs_hrc_47tuc/j8bt06nyq_flt.fits", "acs_hrc_47tuc/j8bt06o6q_flt.fits"],
        # Overlap 28 %: this point lies on both.
        ra_deg=6.0230,
        dec_deg=-72.0850,
    )
    assert failures(outcomes) == []
    table = alignment(workdir, "j8bt06")
    assert list(table["status"]) == ["PASS", "PASS"]
    for row in table:
        assert row["n_matches"] > 500
        assert row["rms_x"].value < 0.1
        assert row["rms_y"].value < 0.1
    (stack,) = workdir.drizzle.glob("*.ut*.drc.fits")
    header = fits.getheader(stack)
    assert header["NINPUT"] == 2
    assert header["EXPTIME"] == pytest.approx(120.0)


def test_wfpc2_is_drizzled(through_the_graph):
    # By default onto the pixels of the PC, 25 million, as in `imaging/test_real_exposures`.
    workdir, outcomes = through_the_graph(["wfpc2_omegacen"], {"drizzle": {"scale_arcsec": 0.1}})
    assert failures(outcomes) == []
    (stack,) = workdir.drizzle.glob("*.ut*.drc.fits")
    assert fits.getheader(stack)["EXPTIME"] == pytest.approx(100.0)
    with fits.open(stack) as hdus:
        assert (hdus["WHT"].data > 0).mean() > 0.3


def test_wfc3_ir_is_drizzled(through_the_graph):
    workdir, outcomes = through_the_graph(
        ["wfc3_ir_gj1214"],
        {"selection": {"keep_short": True}, "alignment": {"on_failure": "keep_a_priori"}},
    )
    assert failures(outcomes) == []
    stacks = sorted(workdir.drizzle.glob("*.ut*.drc.fits"))
    assert len(stacks) == 2
    assert {fits.getheader(path)["NINPUT"] for path in stacks} == {1}

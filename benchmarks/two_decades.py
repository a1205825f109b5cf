"""One object over two decades: WFPC2 1999, ACS/WFC 2004, WFC3/UVIS and IR 2012, WFC3/UVIS 2019.

    python benchmarks/two_decades.py [FOLDER]

Five visits of one simulated field, with rolls, centres and pointing errors of their own, go through
the whole graph: one frame, one catalogue, one light curve. A star of 1999 and 2004 explodes in 2012
and is gone in 2019. Every epoch of it, by each method, is printed beside the truth.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from hst_assets.cli.ingest import ingest_into
from hst_assets.cli.materialize import materialize_target
from hst_assets.settings import load_settings, write_settings
from hst_assets.simulate.campaign import simulate_campaign
from hst_assets.simulate.light_curve_scoring import light_curve_scores
from hst_assets.simulate.plans import two_decades_plan
from hst_assets.simulate.recovery import radii_of_measurement, recovered
from hst_assets.workdir import WorkDir


def main(folder: Path) -> None:
    """Simulate, measure and print."""
    plan = two_decades_plan()
    truth = simulate_campaign(plan, folder / "simulated", max_cores=2)
    workdir = WorkDir(folder, plan.name)
    ingest_into(workdir, [truth.exposure_folder], position=(plan.ra_deg, plan.dec_deg))
    seen = truth.transient[0]
    settings = {
        "photometry": {"make": True, "photometer": "embedded"},
        # Simulated WFPC2 loses no charge.
        "embedded": {"wfpc2_cte": False},
        # The anchor's pointing is off by 0.5 arcsec, and no catalogue ties the frame.
        "light_curve": {
            "ra_deg": float(seen["ra"]),
            "dec_deg": float(seen["dec"]),
            "position_error_arcsec": 0.4,
            "scrape_radius_arcsec": 1.2,
        },
    }
    write_settings(workdir, settings)
    materialize_target(workdir)
    limits = {"max_offset_pix": 0.1, "max_flux_error": 0.01, "max_difference_error": 0.02}
    for claim in recovered(workdir, truth, **limits):
        if "transient on" not in claim.what:  # measured at the place in the frame of the truth
            print(f"{'yes' if claim.holds else 'NO':4}{claim.what}: {claim.measured}")
    print(f"{'method':11}{'band':18}{'epoch':>6}{'uJy':>10}{'error':>9}{'truth':>10}{'pull':>7}")
    scores = light_curve_scores(
        workdir,
        truth,
        difference_radius_arcsec=load_settings(workdir).embedded.aperture_radius_arcsec,
        **radii_of_measurement(workdir),
    )
    for one in scores:
        print(
            f"{one.method:11}{one.band:18}{one.epoch:6d}{one.flux_ujy:10.4f}"
            f"{one.flux_error_ujy:9.4f}{one.true_flux_ujy:10.4f}{one.pull:+7.2f}"
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else scratch))

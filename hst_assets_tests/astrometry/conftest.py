"""Synthetic star lists, a simulated campaign brought into work directories, real exposures."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hst_assets.astrometry import matching
from hst_assets.astrometry.alignment import make_aligned_visit
from hst_assets.astrometry.reference.image import make_reference
from hst_assets.exposures.ingest import ingest
from hst_assets.exposures.table import make_raw_manifest, make_target_table, make_visit_table
from hst_assets.settings import Settings, TargetSettings
from hst_assets.simulate.plans import demo_plan, small_plan
from hst_assets.workdir import WorkDir

SIDE = 1000.0


def rotation_matrix(angle_deg):
    """Row vectors times this turn counter-clockwise."""
    cos, sin = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    return np.array([[cos, sin], [-sin, cos]])


class Sky:
    """Star lists of one field: an exposure displaced and turned against its reference."""

    def __init__(self, seed, *, common=60, cosmic=40, deeper=60, shift=(5.0, -3.0), turn=0.0):
        rng = np.random.default_rng(seed)
        self.rng = rng
        stars = rng.uniform(0, SIDE, (common, 2))
        self.reference = np.vstack([stars, rng.uniform(0, SIDE, (deeper, 2))])
        centred = (stars - SIDE / 2 - np.array(shift)) @ rotation_matrix(-turn)
        noise = rng.normal(0, 0.1, stars.shape)
        self.image = np.vstack([centred + SIDE / 2 + noise, rng.uniform(0, SIDE, (cosmic, 2))])
        self.shift, self.turn = np.array(shift), turn

    @staticmethod
    def unrelated(seed, n_image, n_reference):
        """Two lists that have nothing in common."""
        rng = np.random.default_rng(seed)
        return rng.uniform(0, SIDE, (n_image, 2)), rng.uniform(0, SIDE, (n_reference, 2))


def numpy_fit(image, reference, *, search, radius, geometry="rshift", fewest=10):
    """A stand-in for TweakReg on lists: peak, nearest pairs, clipped fit; None if too few.

    Returns the pairs and a function that moves points as the fit does.
    """
    _, offset = matching.offset_peak(image, reference, search=search, radius=radius)
    a, b = matching.nearest(image + offset, reference, radius)
    if len(a) < fewest:
        return None
    for _ in range(3):
        move = matching.fit_motion(image[a], reference[b], geometry)
        residual = reference[b] - move(image[a])
        good = np.all(np.abs(residual) <= 3 * residual.std(axis=0) + 1e-9, axis=1)
        a, b = a[good], b[good]
    return a, b, move


@pytest.fixture(scope="session")
def real_data():
    """The folder of real exposures beside the checkout."""
    folder = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "real"
    if not folder.is_dir():
        pytest.skip(f"no real exposures at {folder}")
    return folder


def prepare(workdir, sources, settings=None):
    """Ingest files and make the exposure tables; return settings and visits."""
    settings = settings or Settings()
    workdir.create()
    visits = ingest(
        sources, workdir, ra_deg=settings.target.ra_deg, dec_deg=settings.target.dec_deg
    ).visits
    for visit in visits:
        make_raw_manifest(workdir, visit)
        make_visit_table(workdir, visit, settings)
    make_target_table(workdir, visits, settings)
    return settings, visits


class Campaign:
    """A simulated campaign after its alignment: two UVIS filters and WFC3/IR, all mispointed."""

    def __init__(self, simulated, folder):
        plan = demo_plan()
        uvis, _, infrared = plan.visits
        plan = replace(plan, visits=(uvis, replace(infrared, n_exposures=2)))
        self.truth = simulated(plan)
        self.settings = Settings(target=TargetSettings(ra_deg=plan.ra_deg, dec_deg=plan.dec_deg))
        self.workdir = WorkDir(folder / "root", "field")
        _, self.visits = prepare(self.workdir, [self.truth.exposure_folder], self.settings)
        self.raw_before = {p.name: p.read_bytes() for p in self.workdir.raw.glob("*.fits")}
        self.reference = make_reference(self.workdir, self.settings)
        self.made = {
            visit: make_aligned_visit(self.workdir, visit, self.settings) for visit in self.visits
        }


@pytest.fixture(scope="session")
def campaign(simulated, tmp_path_factory):
    return Campaign(simulated, tmp_path_factory.mktemp("campaign"))


@pytest.fixture
def copied(campaign, tmp_path):
    """The campaign's work directory, to be spoilt."""
    shutil.copytree(campaign.workdir.root, tmp_path / "root")
    return WorkDir(tmp_path / "root", "field")


class Lone:
    """One small simulated UVIS exposure, ingested; nothing is aligned yet."""

    def __init__(self, simulated, folder):
        self.truth = simulated(small_plan("wfc3_uvis", n_exposures=1))
        self.workdir = WorkDir(folder / "root", "field")
        self.settings, (self.visit,) = prepare(self.workdir, [self.truth.exposure_folder])
        (self.raw,) = self.truth.science_files()
        self.rootname = self.raw.name[:9]


@pytest.fixture(scope="session")
def lone(simulated, tmp_path_factory):
    return Lone(simulated, tmp_path_factory.mktemp("lone"))

"""A field with transients of known light curves, from simulated exposures to a measured catalogue.

Three epochs of WFC3/UVIS F606W, two exposures each, without alignment errors; the transients are
there in the first two. Nothing of the engine's own PSF is in the images: they are of
`hst_assets.simulate.psf`.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.table import QTable, Table, vstack

from hst_assets.exposures.ingest import ingest
from hst_assets.exposures.table import make_raw_manifest, make_target_table, make_visit_table
from hst_assets.imaging.differences.batch import make_differences
from hst_assets.imaging.drizzling import make_stacks
from hst_assets.photometry.dolphot.inputs import make_dolphot_inputs
from hst_assets.photometry.light_curve.points import Place
from hst_assets.photometry.psf.catalog_run import make_embedded_catalog
from hst_assets.products.columns import read_table, write_table
from hst_assets.provenance import Recipe, Result, make, sha256_of_file
from hst_assets.settings import Settings, load_settings
from hst_assets.simulate.campaign import CampaignPlan, VisitPlan, exposure_plans
from hst_assets.simulate.exposure import render_exposure
from hst_assets.simulate.geometry import Subarray
from hst_assets.simulate.headers import exposure_files
from hst_assets.simulate.plans import DEMO_MJD
from hst_assets.simulate.scene import ARCSEC, Scene
from hst_assets.workdir import WorkDir
from hst_assets_tests.stand_ins.reference_note import note_reference

BAND = "wfc3_uvis.f606w"
RA, DEC = 150.1, 2.2
KINDS = ("isolated", "crowded", "on a galaxy")
VISITS = ("isim01", "isim02", "isim03")
#: Epochs in which the transients shine; the last has none of their light.
SHINING = 2
_SIDE_PIX = 400
_HALF_ARCSEC = 6.2
_APART_ARCSEC = 0.45
_ALONE_ARCSEC = 0.5
_FADING_MAG = 0.7
_NOTHING_MAG = 60.0

Floats = np.ndarray


@dataclass(frozen=True, eq=False)
class Transients:
    """Transients and their truth.

    Attributes
    ----------
    places : list of Place
    kinds : list of str
        Of each, one of `KINDS`.
    flux_ujy : ndarray, shape (epochs, n)
        Of all light.
    """

    places: list[Place]
    kinds: list[str]
    flux_ujy: Floats


@dataclass(frozen=True, eq=False)
class FieldPlan:
    """What is in the sky: stars, galaxies, and transients by epoch."""

    stars: Table
    galaxies: Table
    transients: Transients

    def scene(self, epoch: int) -> Scene:
        """The sky of an epoch, from 0."""
        flux = self.transients.flux_ujy[epoch]
        shining = np.flatnonzero(flux > 0)
        places = self.transients.places
        more = Table(
            {
                "id": 50_000 + shining,
                "ra": [places[at].ra_deg for at in shining],
                "dec": [places[at].dec_deg for at in shining],
                "m_ref": 23.9 - 2.5 * np.log10(flux[shining]),
                "colour": np.zeros(len(shining)),
            }
        )
        stars = vstack([self.stars, more]) if len(shining) else self.stars
        return Scene(stars, self.galaxies)


def plan_field(
    seed: int,
    *,
    n_of_kind: int = 8,
    n_stars: int = 260,
    magnitudes: tuple[float, float] = (21.5, 27.5),
) -> FieldPlan:
    """Draw a field; its western half is crowded, its eastern half has galaxies."""
    rng = np.random.default_rng([seed, 77])
    bright = _apart(rng, 14, 1.6, [])
    field = rng.uniform(-_HALF_ARCSEC, _HALF_ARCSEC, (n_stars, 2))
    crowded = rng.random(n_stars) < 0.75
    field[crowded, 0] = rng.uniform(-_HALF_ARCSEC, 0, crowded.sum())
    centres = _apart(rng, 6, 1.7, list(bright), west=False)
    field = field[_nearest(field, np.concatenate([bright, centres])) > 0.7]
    places: list[Floats] = []
    kinds: list[str] = []
    sources = np.concatenate([bright, field, centres])
    for kind in KINDS:
        while kinds.count(kind) < n_of_kind:
            place = _candidate(rng, kind, centres)
            far = _nearest(place[None], np.concatenate([bright, np.array(places).reshape(-1, 2)]))
            if far[0] < (_APART_ARCSEC if places else 0.0) or abs(place).max() > _HALF_ARCSEC:
                continue
            alone = _nearest(place[None], sources)[0]
            if kind == "isolated" and alone < _ALONE_ARCSEC:
                continue
            if kind == "isolated" and _nearest(place[None], centres)[0] < 2.0:
                continue
            if kind == "crowded" and not 0.1 < _nearest(place[None], field)[0] < 0.3:
                continue
            places.append(place)
            kinds.append(kind)
    mags = rng.uniform(*magnitudes, len(places))
    flux = np.zeros((len(VISITS), len(places)))
    for epoch in range(SHINING):
        flux[epoch] = 10 ** (0.4 * (23.9 - mags - _FADING_MAG * epoch))
    stars = _sky(np.concatenate([bright, field]))
    stars["m_ref"] = np.concatenate(
        [rng.uniform(18.6, 20.2, len(bright)), 20.5 + 6.5 * rng.random(len(field)) ** 0.6]
    )
    stars["colour"] = 0.0
    galaxies = _sky(centres)
    galaxies["m_ref"] = rng.uniform(19.5, 21.5, len(centres))
    galaxies["colour"] = 0.0
    galaxies["half_light_radius"] = rng.uniform(0.3, 0.6, len(centres))
    galaxies["axis_ratio"] = rng.uniform(0.5, 1.0, len(centres))
    galaxies["pa"] = rng.uniform(0, 180, len(centres))
    galaxies["id"] += 100_000
    on_sky = _sky(np.array(places))
    named = [
        Place(source=at, name=f"t{at}", ra_deg=float(row["ra"]), dec_deg=float(row["dec"]))
        for at, row in enumerate(on_sky)
    ]
    return FieldPlan(stars, galaxies, Transients(named, kinds, flux))


def _candidate(rng: np.random.Generator, kind: str, centres: Floats) -> Floats:
    if kind == "on a galaxy":
        return centres[rng.integers(len(centres))] + rng.uniform(-0.6, 0.6, 2)
    low = (-_HALF_ARCSEC, -_HALF_ARCSEC)
    high = (0.0 if kind == "crowded" else _HALF_ARCSEC, _HALF_ARCSEC)
    return rng.uniform(low, high)


def _apart(
    rng: np.random.Generator, n: int, distance: float, taken: list[Floats], *, west: bool = True
) -> Floats:
    found: list[Floats] = []
    while len(found) < n:
        place = rng.uniform((-_HALF_ARCSEC if west else 0.5, -_HALF_ARCSEC), _HALF_ARCSEC)
        others = np.array([*taken, *found]).reshape(-1, 2)
        if _nearest(place[None], others)[0] > distance:
            found.append(place)
    return np.array(found)


def _nearest(places: Floats, others: Floats) -> Floats:
    if not len(others):
        return np.full(len(places), np.inf)
    return np.hypot(*(places[:, None] - others[None]).transpose(2, 0, 1)).min(axis=1)


def _sky(places: Floats) -> Table:
    dec = DEC + places[:, 1] * ARCSEC
    ra = RA + places[:, 0] * ARCSEC / np.cos(np.radians(DEC))
    return Table({"id": np.arange(len(places)), "ra": ra, "dec": dec})


# ------------------------------------------------------------------------------- the exposures


def campaign(seed: int, *, exptime_s: float = 350.0, n_exposures: int = 2) -> CampaignPlan:
    """Three visits, the second turned; headers tell the truth."""
    visit = VisitPlan(
        visit=VISITS[0],
        detector_key="wfc3_uvis",
        filters=("F606W",),
        n_exposures=n_exposures,
        exptime_s=exptime_s,
        mjd=DEMO_MJD,
        subarray=Subarray(1000, 800, _SIDE_PIX, _SIDE_PIX),
        dither_arcsec=0.35,
        jitter_arcsec=0.0,
        cosmic_rays=False,
    )
    visits = tuple(
        replace(visit, visit=name, mjd=DEMO_MJD + 40.0 * at, pa_v3_deg=40.0 + 7.0 * at)
        for at, name in enumerate(VISITS)
    )
    return CampaignPlan("field", RA, DEC, visits, seed=seed)


def simulated(field: FieldPlan, plan: CampaignPlan, root: Path) -> WorkDir:
    """A work directory up to its differences and its catalogue by the embedded photometer."""
    exposures = root / "simulated"
    exposures.mkdir(parents=True)
    for exposure in exposure_plans(plan):
        epoch = VISITS.index(exposure.rootname[:6])
        rendered = render_exposure(exposure, field.scene(epoch))
        for name, content in exposure_files(rendered).items():
            (exposures / name).write_bytes(content)
    workdir = WorkDir(root / "root", "field")
    ingest([exposures], workdir, ra_deg=RA, dec_deg=DEC)
    workdir.settings_file.write_text(
        workdir.settings_file.read_text()
        + '\n[photometry]\nmake = true\nphotometer = "embedded"\n'
        + '\n[difference]\ntemplate = "last"\n[embedded]\nresiduals = false\n'
    )
    settings = load_settings(workdir)
    for visit in VISITS:
        make_raw_manifest(workdir, visit)
        make_visit_table(workdir, visit, settings)
        _aligned(workdir, visit)
    make_target_table(workdir, list(VISITS), settings)
    make_stacks(workdir, settings)
    make_differences(workdir, settings)
    _target_aligned(workdir)
    _reference(workdir, settings)
    make_dolphot_inputs(workdir, settings)
    make_embedded_catalog(workdir, settings)
    return workdir


def _aligned(workdir: WorkDir, visit: str) -> None:
    for path in workdir.raw.glob(f"{visit}*.fits"):
        shutil.copyfile(path, workdir.aligned(path.name))
    table = read_table(workdir.visit_exposures(visit))
    alignment = QTable()
    for name in ("rootname", "file", "used"):
        alignment[name] = table[name]
    alignment["digest"] = [sha256_of_file(workdir.aligned(str(name))) for name in table["file"]]
    path = workdir.visit_alignment(visit)
    alignment.write(path, format="ascii.ecsv", overwrite=True)
    make(Recipe("aligned_exposures"), path, workdir, lambda: Result((path,)), redo=True)


def _target_aligned(workdir: WorkDir) -> None:
    table = read_table(workdir.target_exposures)
    alignment = QTable(
        {
            "rootname": table["rootname"],
            "used": table["used"],
            "status": ["PASS"] * len(table),
            "reason": [""] * len(table),
            "digest": [sha256_of_file(workdir.aligned(str(name))) for name in table["file"]],
        }
    )
    path = workdir.target_alignment
    alignment.write(path, path="exposures", format="hdf5", serialize_meta=True)
    make(Recipe("target_alignment"), path, workdir, lambda: Result((path,)), redo=True)


def _reference(workdir: WorkDir, settings: Settings) -> None:
    """The stack of all epochs is the reference."""
    path = workdir.reference_image(BAND, 1)
    shutil.copyfile(workdir.filter_stack(BAND, settings.drizzle.object_name), path)
    write_table(QTable({"ra": [RA], "dec": [DEC]}), workdir.reference_catalog)
    note_reference(workdir, path)
    recipe = Recipe("reference_image", inputs={"image": sha256_of_file(path)})
    make(recipe, path, workdir, lambda: Result((path,)), redo=True)


def places_of(fields: Sequence[FieldPlan]) -> list[Place]:
    """All transients of some fields."""
    return [place for field in fields for place in field.transients.places]

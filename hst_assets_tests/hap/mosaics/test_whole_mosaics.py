"""Mosaics of three simulated visits: two overlap in one filter, the third has another.

The first run has two visits and is killed; the other visit comes later.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from typer.testing import CliRunner

from hst_assets.cli.application import application
from hst_assets.hap.mosaics.grid import sky_cell_wcs
from hst_assets.hap.mosaics.layers import mosaic_input, mosaic_layers, poller_of_sky_cell
from hst_assets.hap.mosaics.mosaic import make_mosaics
from hst_assets.hap.poller import write_poller
from hst_assets.isolation import run_isolated
from hst_assets.products.columns import read_table
from hst_assets.settings import HapSettings, MachineSettings
from hst_assets.simulate.plans import small_plan
from hst_assets.simulate.scoring import photometry_score, star_fluxes
from hst_assets.workdir import WorkDir
from hst_assets_tests.stand_ins.star_service import star_service

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("hap"),
    pytest.mark.timeout(1200),  # the first test waits for all that is made before it
]

CELL = "skycell-p1360x10y10"
MACHINE = MachineSettings(max_cores=2)
FIRST, SECOND, OTHER = "isim01", "isim02", "isim03"


@pytest.fixture(scope="module")
def truth(simulated):
    """Two visits in F110W that overlap by half, rolled by 30 degrees; one in F160W."""
    middle = sky_cell_wcs(CELL, "fine").all_pix2world([[11000.0, 11000.0]], 0)[0]
    small = small_plan("wfc3_ir", visit=FIRST)
    (first,) = small.visits
    second = replace(
        first,
        visit=SECOND,
        mjd=first.mjd + 40.0,
        pa_v3_deg=first.pa_v3_deg + 30.0,
        offset_arcsec=(20.0, 0.0),
        pointing_error_arcsec=(-0.2, 0.3),
    )
    other = replace(second, visit=OTHER, mjd=first.mjd + 80.0, filters=("F160W",))
    return simulated(
        replace(
            small,
            name="three-visits",
            ra_deg=float(middle[0]),
            dec_deg=float(middle[1]),
            visits=(first, second, other),
            scene=replace(small.scene, radius_arcsec=62.0, n_stars=650, n_isolated=32),
        )
    )


@pytest.fixture(scope="module")
def exposures(truth, tmp_path_factory):
    """The exposures of each visit as drizzlepac's single-visit code leaves them."""
    folder = tmp_path_factory.mktemp("visits")
    made = {}
    with star_service(truth.stars, "ab_wfc3_ir_f110w").running() as server:
        for visit in (FIRST, SECOND, OTHER):
            place = folder / visit
            place.mkdir()
            names = [path.name for path in truth.science_files() if path.name.startswith(visit)]
            for name in names:
                shutil.copy(truth.exposure_folder / name, place)
            (place / "poller.out").write_text("".join(f"{name}\n" for name in names))
            left = run_isolated(
                "mosaic_tasks:aligned_visit",
                {"poller": "poller.out"},
                scratch=place,
                log_path=folder / f"{visit}.txt",
                timeout_s=300,
                environment={"ASTROMETRIC_CATALOG_URL": server.url},
            )
            made[visit] = [place / name for name in left]
    return made


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return WorkDir(tmp_path_factory.mktemp("root"), "field").create()


def made_of(inputs, workdir, **options):
    return make_mosaics(
        inputs,
        folder=workdir.hap / "mosaics",
        workdir=workdir,
        settings=HapSettings(),
        machine=MACHINE,
        **options,
    )


@pytest.fixture(scope="module")
def killed(exposures, workdir):
    """A run of two visits, killed when the first of its layers was recorded: those layers."""
    inputs = [*exposures[FIRST], *exposures[OTHER]]
    code = f"""
from pathlib import Path
from hst_assets.hap.mosaics.mosaic import make_mosaics
from hst_assets.settings import HapSettings, MachineSettings
from hst_assets.workdir import WorkDir
workdir = WorkDir(Path({str(workdir.root)!r}), {workdir.target!r})
make_mosaics(
    [Path(name) for name in {[str(path) for path in inputs]!r}],
    folder=workdir.hap / "mosaics", workdir=workdir, settings=HapSettings(),
    machine=MachineSettings(max_cores=2),
)
"""
    records = workdir.hap / "mosaics" / CELL
    run = subprocess.Popen([sys.executable, "-c", code], env=os.environ)
    until = time.monotonic() + 600
    while not (left := sorted(records.glob("*.provenance.json"))):
        assert run.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    run.wait()
    return {path.name.removesuffix(".provenance.json"): path.read_bytes() for path in left}


@pytest.fixture(scope="module")
def two_visits(killed, exposures, workdir):
    """The mosaics of two visits, and what their files were."""
    result = made_of([*exposures[FIRST], *exposures[OTHER]], workdir)
    return result, _contents(workdir)


@pytest.fixture(scope="module")
def three_visits(two_visits, exposures, workdir):
    inputs = [path for each in exposures.values() for path in each]
    return made_of(inputs, workdir), _contents(workdir)


def _contents(workdir):
    return {path.name: path.read_bytes() for path in workdir.hap.glob("mosaics/*/*")}


def _image(workdir, name):
    return workdir.hap / "mosaics" / CELL / f"hst_{CELL}_wfc3_ir_{name}_drz.fits"


def test_a_killed_run_goes_on_with_what_it_had_made(killed, two_visits):
    result, contents = two_visits
    assert result.made.ran
    assert result.failures == {}
    assert len(result.layers) == 4
    assert 1 <= len(killed) < 4
    for name, record in killed.items():
        assert contents[f"{name}.provenance.json"] == record


def test_the_index_lists_each_layer(two_visits, workdir):
    rows = read_table(workdir.hap / "mosaics" / "mosaics.ecsv")
    assert len(rows) == len(two_visits[0].layers) == 4
    assert set(rows["status"]) == {"OK"}
    assert set(rows["skycell"]) == {CELL}
    for row in rows:
        header = fits.getheader(workdir.absolute(row["file"]), "SCI")
        assert (header["NAXIS1"], header["NAXIS2"]) == (row["nx"], row["ny"])
        assert int(row["n_exposures"]) == 2 * int(row["n_visits"])


def test_nothing_is_made_again_of_the_same_exposures(three_visits, exposures, workdir):
    _, contents = three_visits
    again = made_of([path for each in exposures.values() for path in each], workdir)
    assert not again.made.ran
    assert _contents(workdir) == contents


def test_another_visit_makes_again_only_the_layers_that_it_reaches_into(two_visits, three_visits):
    (_, before), (result, after) = two_visits, three_visits
    assert "isim02" in result.made.why
    changed = {name for name in after if after[name] != before.get(name)}
    images = {name for name in changed if name.endswith(".fits")}
    assert images == {
        f"hst_{CELL}_wfc3_ir_f110w_all_drz.fits",
        f"hst_{CELL}_wfc3_ir_f110w_coarse-all_drz.fits",
    }
    assert {name for name in changed if "f160w" in name} == set()


@pytest.mark.parametrize("layer", ["f110w_coarse-all", "f110w_all"])
def test_flux_is_conserved_where_visits_overlap(three_visits, truth, workdir, layer):
    stars = star_fluxes(_image(workdir, layer), truth, "wfc3_ir", "F110W")
    score = photometry_score(stars)
    # The median of some 30 stars is known to 0.1 per cent; 1 per cent is what is asked.
    assert score.n_stars >= 20
    assert score.median_ratio == pytest.approx(1.0, abs=0.01)
    header = fits.getheader(_image(workdir, layer))
    with fits.open(_image(workdir, layer)) as hdus:
        most = hdus["WHT"].data.max()
    inside = [row for row in stars if _weight_at(_image(workdir, layer), row) > 0.8 * most]
    assert len(inside) >= 8
    assert header["NUMEXP"] == 4
    # Stars in the overlap are seen by four exposures of 100 s.
    assert np.median([row["ratio"] for row in inside]) == pytest.approx(1.0, abs=0.01)


def _weight_at(path, row):
    with fits.open(path) as hdus:
        return hdus["WHT"].data[round(row["y"]), round(row["x"])]


def test_layers_lie_on_the_grid_of_their_sky_cell(three_visits, workdir):
    for filter_name in ("f110w", "f160w"):
        for layer, scale in (("coarse-all", "coarse"), ("all", "fine")):
            path = _image(workdir, f"{filter_name}_{layer}")
            header, cell = fits.getheader(path, "SCI"), sky_cell_wcs(CELL, scale)
            assert [header["CRVAL1"], header["CRVAL2"]] == cell.wcs.crval.tolist()
            offset = cell.wcs.crpix - [header["CRPIX1"], header["CRPIX2"]]
            # Rounding of the header's cards.
            assert offset == pytest.approx(np.rint(offset), abs=1e-6)
            assert header["CD2_2"] * 3600 == pytest.approx({"coarse": 0.12, "fine": 0.04}[scale])
            primary = fits.getheader(path)
            assert (primary["HAPLEVEL"], primary["SCELLID"]) == (4, CELL.removeprefix("skycell-"))


def test_the_command_makes_the_same_pixels(three_visits, exposures, workdir, tmp_path, monkeypatch):
    """Its layers reach to the box of all exposures of the poller; the coarse one is compared."""
    inputs = [mosaic_input(path) for each in exposures.values() for path in each]
    new = [one for one in inputs if one.filter == "f160w"]
    rows = poller_of_sky_cell(inputs, CELL)
    old = {one.path.name for one in inputs if one not in new}
    write_poller([replace(row, is_new=row.file not in old) for row in rows], tmp_path / "cell.out")
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(
        application, ["hap", "--multi", "-s", "cell.out", "-o", "parameters.json"]
    )
    assert answer.exit_code == 0, answer.output
    assert "4 exposures are OLD" in answer.output
    names = (tmp_path / f"{CELL}_manifest.txt").read_text().split()
    assert len(names) == 4
    assert {path.name for path in tmp_path.iterdir()} == {
        *names,
        "cell.out",
        "parameters.json",
        f"{CELL}_manifest.txt",
    }
    for layer in mosaic_layers(new):
        ours = workdir.hap / "mosaics" / CELL / layer.drizzled_file
        _assert_same_sky(ours, tmp_path / layer.drizzled_file)


def _assert_same_sky(smaller, larger):
    with fits.open(smaller) as ours, fits.open(larger) as theirs:
        one, other = ours["SCI"].header, theirs["SCI"].header
        x = round(other["CRPIX1"] - one["CRPIX1"])
        y = round(other["CRPIX2"] - one["CRPIX2"])
        ny, nx = ours["SCI"].shape
        assert theirs["SCI"].shape != (ny, nx)
        box = theirs["WHT"].data[y : y + ny, x : x + nx]
        # The box ends where the mask of the exposures does: the last line may be cut.
        both = (box > 0) & (ours["WHT"].data > 0)
        assert both.mean() > 0.4
        inner = both & (box == ours["WHT"].data)
        assert inner.sum() > 0.99 * both.sum()
        np.testing.assert_allclose(
            theirs["SCI"].data[y : y + ny, x : x + nx][inner],
            ours["SCI"].data[inner],
            rtol=1e-4,
            atol=1e-4,
        )

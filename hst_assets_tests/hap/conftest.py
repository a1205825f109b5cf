import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hst_assets import isolation
from hst_assets.isolation import run_isolated
from hst_assets.simulate.plans import small_plan
from hst_assets_tests.hap.kept_nurseries import kept_by_origin
from hst_assets_tests.hap.small_visit import exposures_with_poller, products_in
from hst_assets_tests.stand_ins.star_service import star_service

FITTED = "IDC_x-FIT_SVM_GAIAeDR3"


@pytest.fixture(scope="module", autouse=True)
def tasks_are_found():
    """Children find the modules of tasks that lie beside the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module", autouse=True)
def few_import_drizzlepac():
    """What has imported drizzlepac serves all tests of HAP that tell it the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolation, "serve", kept_by_origin(isolation.serve))
        yield


@pytest.fixture
def drizzlepac(tmp_path):
    """Run a task of `drizzlepac_tasks` in a fresh folder, or in one that is given."""
    return _asking("drizzlepac_tasks", tmp_path)


@pytest.fixture
def with_shortcuts(tmp_path):
    """Run a task of `shortcut_tasks` in a fresh folder, or in one that is given."""
    return _asking("shortcut_tasks", tmp_path)


@pytest.fixture
def mosaic_code(tmp_path):
    """Run a task of `mosaic_tasks` in a fresh folder, or in one that is given."""
    return _asking("mosaic_tasks", tmp_path)


def _asking(module, tmp_path):
    def ask(task, arguments=None, folder=None, environment=None):
        if folder is None:
            folder = tmp_path / task
            folder.mkdir(exist_ok=True)
        return run_isolated(
            f"{module}:{task}",
            arguments or {},
            scratch=folder,
            log_path=folder / "log.txt",
            timeout_s=900,  # runsinglehap on a busy machine
            environment=environment,
        )

    return ask


@pytest.fixture
def svm_exposure(tmp_path):
    """Writes an exposure as a single visit leaves it, of 4 x 4 pixels; returns its path."""

    def write(name, detector, elements, *, skycells="p1360x10y10", wcs_name=FITTED, **cards):
        instrument = {"i": "WFC3", "j": "ACS", "u": "WFPC2"}[name.split("_")[-2][0]]
        wheels = {
            "WFC3": ["FILTER"],
            "ACS": ["FILTER1", "FILTER2"],
            "WFPC2": ["FILTNAM1", "FILTNAM2"],
        }[instrument]
        science = fits.ImageHDU(np.ones((4, 4), "f4"), name="SCI", ver=1)
        science.header.update(
            PHOTFLAM=1e-20,
            SKYCELL=skycells,
            WCSNAME=wcs_name,
            BUNIT="ELECTRONS",
        )
        hdus = fits.HDUList([fits.PrimaryHDU(), science])
        hdus[0].header.update(
            {
                "INSTRUME": instrument,
                "DETECTOR": detector,
                "PROPOSID": 12345,
                "EXPTIME": 100.0,
                "EXPSTART": 55000.0,
                "DATE-OBS": "2009-06-18",
                "DATE": "2020-01-01",
                "OBSTYPE": "IMAGING",
                "IMAGETYP": "EXT",
                "MTFLAG": False if instrument == "WFPC2" else "",
                "SCAN_TYP": "N",
                "CHINJECT": "NONE",
                "DRIZCORR": "COMPLETE",
                "FGSLOCK": "FINE",
                "TARGNAME": "FIELD",
                "SUBARRAY": False,
                "APERTURE": "ANY",
                "PHOTFLAM": 1e-20,
                "HAPLEVEL": 1,
                **dict(zip(wheels, [*elements.split(";"), ""], strict=False)),
                **cards,
            }
        )
        hdus.writeto(tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture(scope="session")
def truth(simulated):
    return simulated(small_plan("wfc3_ir", filters=("F110W", "F160W")))


@pytest.fixture(scope="session")
def visit(truth, tmp_path_factory):
    """A folder with the exposures and the poller, new at each call."""
    return lambda: exposures_with_poller(truth, tmp_path_factory.mktemp("visit"))


@pytest.fixture(scope="session")
def stars(truth):
    """What points HAP to a catalogue of the visit's stars."""
    with star_service(truth.stars, "ab_wfc3_ir_f110w").running() as server:
        yield {"ASTROMETRIC_CATALOG_URL": server.url}


@pytest.fixture(scope="session")
def pieces(visit, stars):
    """Folder of the visit's products, for reading, and answer of the command that made them."""
    folder = visit()
    return folder, products_in(folder, stars)

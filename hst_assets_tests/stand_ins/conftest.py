"""A stand-in archive with some of everything, and the real astroquery pointed at it."""

import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from hst_assets_tests.stand_ins import missions
from hst_assets_tests.stand_ins.holdings import Holdings
from hst_assets_tests.stand_ins.mast import Mast

RA, DEC = 150.1, 2.2


@pytest.fixture
def centre():
    return SkyCoord(RA, DEC, unit="deg")


@pytest.fixture
def holdings():
    """Three ACS exposures, two of them in an association; two of WFC3/IR; one of WFPC2."""
    holdings = Holdings()
    holdings.add_visit("jaaa01", "acs_wfc", RA, DEC, n_exposures=3)
    holdings.associate("jaaa01010", ["jaaa01aaq", "jaaa01abq"])
    holdings.add_visit("ibbb02", "wfc3_ir", RA, DEC, proposal="13000", mjd=59100.0)
    holdings.add_visit("uccc03", "wfpc2", RA, DEC, n_exposures=1, mjd=52000.0)
    holdings.add_strangers(RA, DEC)
    return holdings


@pytest.fixture
def mast(holdings):
    with Mast(holdings) as mast:
        yield mast


@pytest.fixture
def observations(mast):
    """astroquery's client of CAOM."""
    from astroquery.mast import ObservationsClass

    client = ObservationsClass()
    portal = client._portal_api_connection
    portal.MAST_REQUEST_URL = f"{mast.url}/api/v0/invoke"
    portal.COLUMNS_CONFIG_URL = f"{mast.url}/portal/Mashup/Mashup.asmx/columnsconfig"
    portal._column_configs = {}  # the class's own is shared by all
    yield client
    client._session.close()


@pytest.fixture
def mast_missions(mast):
    """astroquery's client of the Missions search."""
    from astroquery.mast import MastMissionsClass

    client = MastMissionsClass(mission="hst")
    client._service_api_connection.SERVICE_URL = mast.url
    client.mission = "hst"  # makes its address from that of the service
    # It would be asked for at an address that only the configuration file can change.
    client.columns = {"hst": Table({"name": list(missions.COLUMNS)})}
    yield client
    client._session.close()

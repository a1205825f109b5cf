"""Which service of stars the environment names."""

import pytest

from hst_assets.hap.switches import CATALOGUE_SERVICE, catalogue_service


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (None, CATALOGUE_SERVICE),
        ("", CATALOGUE_SERVICE),
        ("https://gsss.stsci.edu/webservices/", CATALOGUE_SERVICE),
        ("http://localhost:40123", "localhost"),
        ("http://localhost:40123/gaia", "localhost/gaia"),
        ("http://localhost:9/other", "localhost/other"),
        ("no address", "no address"),
    ],
)
def test_a_service_is_its_host_and_path(named, expected):
    environ = {} if named is None else {"ASTROMETRIC_CATALOG_URL": named}
    assert catalogue_service(environ) == expected

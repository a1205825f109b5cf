from pathlib import Path

import dagster as dg
import pytest

from hst_assets.orchestration.product_files import ProductFiles, address_of, prefix_of_products
from hst_assets.orchestration.target_roots import claim
from hst_assets.workdir import WorkDir


def instance_in(folder, **config):
    """An instance with the configuration that comes with the package, and more."""
    overrides = {
        "compute_logs": {
            "module": "hst_assets.orchestration.product_files",
            "class": "ProductFiles",
            "config": config,
        }
    }
    folder.mkdir()
    return dg.DagsterInstance.local_temp(str(folder), overrides=overrides)


@pytest.fixture
def instance(tmp_path):
    with instance_in(tmp_path / "home") as instance:
        yield instance


@pytest.fixture
def workdir(tmp_path, instance):
    workdir = WorkDir(tmp_path / "root", "sn1").create()
    claim(instance, workdir)
    return workdir


def sent(instance, *key, extension="png"):
    return instance.compute_log_manager.get_captured_local_path(key, extension)


def test_a_picture_of_a_target_is_sent_by_its_address(instance, workdir):
    picture = workdir.workspace / "a.drc.fits.png"
    address = address_of(picture, workdir)
    assert address == "/logs/products/sn1/workspace/a.drc.fits/png"
    *key, ending = address.removeprefix("/logs/").split("/")
    assert sent(instance, *key, extension=ending) == str(picture)


def test_what_is_no_picture_and_no_page_has_no_address(workdir, tmp_path):
    assert address_of(workdir.settings_file, workdir) is None
    assert address_of(tmp_path / "other.png", workdir) is None


@pytest.mark.parametrize(
    ("key", "extension"),
    [
        (("products", "sn1", "target"), "toml"),
        (("products", "sn1", "raw", "j8bt06_flc"), "fits"),
        (("products", "sn1", "..", "settings"), "html"),
        (("products", "sn1", "workspace", "..", "..", "..", "secret"), "png"),
        (("products", "sn1", "link"), "png"),
        (("products", "sn2", "a"), "png"),
        (("products", "..", "a"), "png"),
        (("products", "sn1", "a.png/../../x"), "png"),
    ],
)
def test_nothing_else_is_sent(instance, workdir, tmp_path, key, extension):
    (tmp_path / "secret.png").write_bytes(b"x")
    (workdir.base / "link.png").symlink_to(tmp_path / "secret.png")
    assert sent(instance, *key, extension=extension) == ""


def test_dagsters_own_logs_are_where_they_would_be_without_it(instance, tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as plain:
        ours = sent(instance, "a-run", "compute_logs", "step", extension="err")
        assert ours == sent(plain, "a-run", "compute_logs", "step", extension="err")
    assert prefix_of_products(instance) == ""
    assert prefix_of_products(plain) is None
    assert isinstance(instance.compute_log_manager, ProductFiles)


@pytest.mark.parametrize("written", ["/hubble", "hubble", "/hubble/"])
def test_addresses_are_below_the_prefix_of_the_web_server(tmp_path, workdir, written):
    with instance_in(tmp_path / "other", path_prefix=written) as instance:
        prefix = prefix_of_products(instance)
    address = address_of(workdir.report, workdir, prefix)
    assert address == "/hubble/logs/products/sn1/report/html"


def test_the_link_of_a_report_that_is_not_made_yet_leads_to_a_page_that_says_so(instance, workdir):
    key = ("products", "sn1", "report")
    assert "has not been made" in Path(sent(instance, *key, extension="html")).read_text()
    workdir.report.write_text("the report")
    assert Path(sent(instance, *key, extension="html")).read_text() == "the report"
    assert sent(instance, "products", "sn1", "hap", "report", extension="html") == str(
        workdir.hap / "report.html"
    )

import dagster as dg
import pytest

from hst_assets.orchestration.product_files import ProductFiles, address_of, serves_products
from hst_assets.orchestration.target_roots import claim
from hst_assets.workdir import WorkDir


@pytest.fixture
def instance(tmp_path):
    """An instance with the configuration that comes with the package."""
    overrides = {
        "compute_logs": {
            "module": "hst_assets.orchestration.product_files",
            "class": "ProductFiles",
        }
    }
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home"), overrides=overrides) as instance:
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
    assert serves_products(instance)
    assert not serves_products(plain)
    assert isinstance(instance.compute_log_manager, ProductFiles)

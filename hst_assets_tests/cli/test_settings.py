import pytest
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.cli.settings import parse_change
from hst_assets.failures import BadConfiguration
from hst_assets.settings import load_settings, write_settings
from hst_assets.workdir import WorkDir


@pytest.fixture
def workdir(root):
    workdir = WorkDir(root, "sn1").create()
    write_settings(workdir, {"target": {"ra_deg": 10.0, "dec_deg": 20.0}})
    return workdir


def test_a_setting_is_changed_and_marked(cli, workdir):
    result = cli("settings", "sn1", "alignment.search_radius_arcsec=2.5")
    assert result.code == 0
    assert load_settings(workdir).alignment.search_radius_arcsec == 2.5
    line = next(x for x in result.out.splitlines() if "search_radius_arcsec" in x)
    assert line.split() == ["search_radius_arcsec", "=", "2.5", "#", "set"]


def test_a_setting_goes_back_to_its_default(cli, workdir):
    cli("settings", "sn1", "alignment.search_radius_arcsec=2.5")
    cli("settings", "sn1", "alignment.search_radius_arcsec=")
    assert load_settings(workdir).alignment.search_radius_arcsec == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("alignment.serch_radius=2", "unknown setting 'alignment.serch_radius'"),
        ("drizzle.pixfrac=1.5", "drizzle.pixfrac"),
        ("pixfrac=0.5", "Write section.key=value"),
        ("drizzle.pixfrac", "Write section.key=value"),
    ],
)
def test_a_wrong_change_is_refused_and_nothing_changes(cli, workdir, change, message):
    before = workdir.settings_file.read_bytes()
    result = cli("settings", "sn1", change)
    assert result.code == 2
    assert message in result.err
    assert workdir.settings_file.read_bytes() == before


def test_an_unknown_target_is_refused(cli):
    result = cli("settings", "sn9")
    assert result.code == 2
    assert "no work directory for target 'sn9'" in result.err


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back_as_numbers(value):
    assert parse_change(f"a.b={value!r}") == ("a", "b", value)


@given(st.text())
def test_any_text_is_read_or_refused_but_never_crashes(text):
    try:
        section, key, _ = parse_change(text)
    except BadConfiguration:
        return
    assert "." not in section
    assert key

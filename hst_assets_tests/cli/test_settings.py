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


def test_after_a_change_only_what_was_changed_is_shown(cli, workdir):
    result = cli("settings", "sn1", "drizzle.pixfrac=1", "drizzle.scale_arcsec=0.05")
    assert [line.split(" #")[0].strip() for line in result.out.splitlines()] == [
        "[drizzle]",
        "scale_arcsec = 0.05",
        "pixfrac = 1.0",
        "'hst-assets materialize sn1 --dry-run' shows what this remakes",
    ]


def test_a_setting_goes_back_to_its_default(cli, workdir):
    cli("settings", "sn1", "alignment.search_radius_arcsec=2.5")
    cli("settings", "sn1", "alignment.search_radius_arcsec=")
    assert load_settings(workdir).alignment.search_radius_arcsec == 1.0


def test_the_meaning_of_each_setting_stands_above_it(cli, workdir):
    lines = cli("settings", "sn1", "--explain").out.splitlines()
    below = lines[lines.index("  # Subtract the sky before combining.") + 1]
    assert below.strip() == "sky_sub = True"


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


def test_the_parameters_of_astrodrizzle_in_force_are_shown(cli, root, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    WorkDir(root, "sn1").base.joinpath("pars.toml").write_text(
        '[wfc3_uvis]\ndriz_cr_grow = 3\n[wfc3_uvis."3-4"]\nskymethod = "match"\n'
    )
    cli("settings", "sn1", "drizzle.parameters_file=pars.toml")
    shown = cli("settings", "sn1", "--drizzle-parameters")
    assert shown.code == 0, shown.err
    lines = shown.out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("wfc3_uvis"))
    block = lines[start : start + 30]
    assert " ".join(block[0].split()[1:]) == "n = 1 n = 2 n = 3 n = 5 n = 7"
    rows = {line.split()[0]: line.split()[1:] for line in block[1:]}
    assert rows["driz_cr_grow"] == ["3", "3", "3", "3", "3", "#", "set"]
    assert rows["skymethod"][:4] == ["localmin", "globalmin+match", "match", "globalmin+match"]
    assert rows["median"] == ["False", "True", "True", "True", "True"]
    infrared = next(i for i, line in enumerate(lines) if line.startswith("wfc3_ir"))
    assert "# set" not in "".join(lines[infrared : infrared + 29])


def test_a_parameter_that_does_not_exist_is_told(cli, root, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    WorkDir(root, "sn1").base.joinpath("pars.toml").write_text("[all]\ndriz_cr_gorw = 3\n")
    cli("settings", "sn1", "drizzle.parameters_file=pars.toml")
    shown = cli("settings", "sn1", "--drizzle-parameters")
    assert shown.code == 2
    assert "did you mean 'driz_cr_grow'?" in shown.err
    assert "astrodrizzle.cfgspc" in shown.err

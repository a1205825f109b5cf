import math

import pytest

from hst_assets.failures import BadConfiguration
from hst_assets.settings import Settings, TargetSettings, load_settings, write_settings
from hst_assets.workdir import WorkDir


@pytest.fixture
def workdir(tmp_path):
    return WorkDir(tmp_path, "field").create()


def test_without_files_the_defaults_hold(workdir):
    assert load_settings(workdir) == Settings()


def test_the_target_wins_over_the_root_key_by_key(workdir):
    workdir.root_settings_file.write_text("[selection]\nmin_exptime_s = 5\nkeep_indt = true\n")
    workdir.settings_file.write_text("[selection]\nmin_exptime_s = 7\n")
    selection = load_settings(workdir).selection
    assert (selection.min_exptime_s, selection.keep_indt) == (7.0, True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[selection]\nmin_exptime = 5\n", "unknown setting 'selection.min_exptime'"),
        ("[selektion]\n", "unknown setting 'selektion'"),
        ("[selection]\nmin_exptime_s = -1\n", r"selection.min_exptime_s: .*\(got -1\)"),
        ("[selection]\nmin_exptime_s = 'long'\n", "selection.min_exptime_s"),
        ("[selection]\nbefore = 'soon'\n", "selection.before"),
        ("[epochs]\nmax_gap_days = 0\n", "epochs.max_gap_days"),
        ("[target]\nra_deg = 10.0\n", "ra_deg and dec_deg belong together"),
        ("[target]\nra_deg = 360.0\ndec_deg = 0.0\n", "target.ra_deg"),
        ("[target]\nra_deg = nan\ndec_deg = 0.0\n", "target.ra_deg"),
        ("target = 3\n", "target"),
        ("[drizzle]\nobject_name = '../x'\n", "drizzle.object_name"),
        ("[drizzle]\nkernel = 'cubic'\n", "drizzle.kernel"),
        ("not toml", "not valid TOML"),
        ("[selection]\nkeep_indt = true\nkeep_indt = false\n", "not valid TOML"),
    ],
)
@pytest.mark.parametrize("which", ["settings_file", "root_settings_file"])
def test_a_mistake_is_told_by_file_and_key(workdir, text, reason, which):
    path = getattr(workdir, which)
    path.write_text(text)
    with pytest.raises(BadConfiguration, match=reason) as caught:
        load_settings(workdir)
    assert str(path) in str(caught.value)


def test_all_mistakes_are_told_at_once(workdir):
    workdir.settings_file.write_text("[selection]\nx = 1\n[epochs]\ny = 2\n")
    with pytest.raises(BadConfiguration, match=r"selection.x.*epochs.y"):
        load_settings(workdir)


def test_bytes_that_are_no_text_are_told(workdir):
    workdir.settings_file.write_bytes(b"\xff\xfe")
    with pytest.raises(BadConfiguration, match="not valid TOML"):
        load_settings(workdir)


def test_filters_are_one_set_however_spelled(workdir):
    workdir.settings_file.write_text("[selection]\nonly_filter = ['f814w', ' F606W', 'F814W']\n")
    assert load_settings(workdir).selection.only_filter == ("F606W", "F814W")


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="frozen"):
        Settings().selection.keep_short = True


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1])
def test_a_position_is_on_the_sky(value):
    with pytest.raises(ValueError, match="ra_deg"):
        TargetSettings(ra_deg=value, dec_deg=0.0)


# -------------------------------------------------------------------------------- writing


def test_what_is_written_is_read(workdir):
    written = write_settings(workdir, {"target": {"ra_deg": 1.5, "dec_deg": -2.5}})
    assert load_settings(workdir) == written
    assert written.target.dec_deg == -2.5


def test_comments_and_other_keys_stay(workdir):
    workdir.settings_file.write_text("# mine\n[selection]  # why\nkeep_indt = true # since\n")
    write_settings(workdir, {"selection": {"keep_short": True}})
    text = workdir.settings_file.read_text()
    assert all(comment in text for comment in ("# mine", "# why", "# since"))
    assert load_settings(workdir).selection.keep_indt


def test_none_goes_back_to_the_default(workdir):
    write_settings(workdir, {"selection": {"min_exptime_s": 3.0}})
    write_settings(workdir, {"selection": {"min_exptime_s": None, "before": None}})
    assert load_settings(workdir) == Settings()


def test_a_wrong_change_leaves_the_file_as_it_was(workdir):
    write_settings(workdir, {"selection": {"keep_short": True}})
    before = workdir.settings_file.read_bytes()
    with pytest.raises(BadConfiguration, match=r"unknown setting 'selection.nonsense'"):
        write_settings(workdir, {"selection": {"nonsense": 1}})
    assert workdir.settings_file.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "reason"),
    [("not toml", "not valid TOML"), ("target = 3\n", "'target' is not a section")],
)
def test_a_broken_file_is_not_written_over(workdir, text, reason):
    workdir.settings_file.write_text(text)
    with pytest.raises(BadConfiguration, match=reason):
        write_settings(workdir, {"target": {"ra_deg": 1.0, "dec_deg": 1.0}})
    assert workdir.settings_file.read_text() == text


def test_machine_settings_are_a_section_of_their_own(workdir):
    assert "max_cores" not in str(load_settings(workdir).drizzle.as_recipe())


def test_dates_of_toml_and_single_names_are_taken(tmp_path):
    workdir = WorkDir(tmp_path, "sn1").create()
    workdir.settings_file.write_text(
        "\ufeff[selection]\nafter = 2013-01-01\nbefore = 2014-01-01T12:00:00Z\n"
        'only_filter = "f606w"\n',
        encoding="utf-8",
    )
    selection = load_settings(workdir).selection
    assert selection.after == "2013-01-01"
    assert selection.before is not None
    assert selection.before.startswith("2014-01-01T12:00:00")
    assert selection.only_filter == ("F606W",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[selection]\nafter = 2014-01-01\nbefore = 2013-01-01\n", "before must be later than"),
        ("[selection]\nafter = 'yesterday'\n", "not a moment in ISO 8601"),
        ("[drizzle]\nscale_arcsec = inf\n", "drizzle.scale_arcsec"),
        ("[drizzle]\nobject_name = 'a b'\n", "beginning of a file name"),
        ("[alignment]\nsearch_radius_arcsec = 1e9\n", "search_radius_arcsec"),
    ],
)
def test_settings_without_sense_are_refused(tmp_path, text, message):
    workdir = WorkDir(tmp_path, "sn1").create()
    workdir.settings_file.write_text(text)
    with pytest.raises(BadConfiguration, match=message):
        load_settings(workdir)


def test_every_path_may_begin_at_home(monkeypatch, workdir, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "p.toml").write_text("[all]\nfinal_fillval = 1.0\n")
    paths = {
        "reference": ("image",),
        "catalog": ("source", "cache"),
        "reference_files": ("iref", "jref", "uref", "cache"),
        "drizzle": ("parameters_file",),
    }
    text = [f"[{name}]\n" + "".join(f'{k} = "~/p.toml"\n' for k in paths[name]) for name in paths]
    workdir.settings_file.write_text("".join(text))
    settings = load_settings(workdir)
    for name, keys in paths.items():
        for key in keys:
            assert getattr(getattr(settings, name), key) == tmp_path / "p.toml", key
    assert settings.drizzle.parameters["all"] == {"final_fillval": 1.0}


def test_the_home_of_nobody_is_told(workdir):
    workdir.settings_file.write_text('[catalog]\nsource = "~nobody_of_this_name/a.csv"\n')
    with pytest.raises(BadConfiguration, match=r"catalog\.source"):
        load_settings(workdir)

import multiprocessing

import pytest

from hst_assets.failures import BadConfiguration
from hst_assets.settings import Settings, load_settings, settings_after, write_settings
from hst_assets.settings.sections import TOOLS


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
        ("[selektion]\n", r"unknown setting 'selektion' \(did you mean 'selection'\?\)"),
        (
            "[alignment]\nserch_radius_arcsec = 5\n",
            "did you mean 'alignment.search_radius_arcsec'",
        ),
        ("[selection]\nzzz = 5\n", "unknown setting 'selection.zzz'"),
        ("[selection]\nmin_exptime_s = -1\n", r"selection.min_exptime_s: .*\(got -1\)"),
        ("[selection]\nmin_exptime_s = 'long'\n", "selection.min_exptime_s"),
        ("[selection]\nbefore = 'soon'\n", "selection.before"),
        ("[epochs]\nmax_gap_days = 0\n", "epochs.max_gap_days"),
        ("[target]\nra_deg = 10.0\n", "ra_deg and dec_deg must be set together"),
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


def test_a_catalogue_must_be_there_when_it_is_set(workdir):
    with pytest.raises(BadConfiguration, match=r"mine\.csv: catalog\.source does not exist"):
        write_settings(workdir, {"catalog": {"source": "mine.csv"}})
    assert not workdir.settings_file.exists()
    (workdir.base / "mine.csv").write_text("ra,dec\n1,2\n")
    assert write_settings(workdir, {"catalog": {"source": "mine.csv"}}).catalog.source.name


def test_a_catalogue_that_went_away_does_not_lock_the_other_settings(workdir):
    workdir.settings_file.write_text('[catalog]\nsource = "gone.csv"\n')
    write_settings(workdir, {"selection": {"keep_short": True}})
    assert load_settings(workdir).selection.keep_short
    write_settings(workdir, {"catalog": {"source": None}})
    assert load_settings(workdir).catalog == Settings().catalog


@pytest.mark.parametrize(
    ("text", "reason"),
    [("not toml", "not valid TOML"), ("target = 3\n", "'target' is not a section")],
)
def test_a_broken_file_is_not_written_over(workdir, text, reason):
    workdir.settings_file.write_text(text)
    with pytest.raises(BadConfiguration, match=reason):
        write_settings(workdir, {"target": {"ra_deg": 1.0, "dec_deg": 1.0}})
    assert workdir.settings_file.read_text() == text


def test_the_limits_of_the_worker_win_over_those_of_the_target(workdir, monkeypatch):
    write_settings(
        workdir,
        {"machine": {"max_cores": 8, "tool_timeout_s": 10.0, "tool_timeouts_s": {"drizzle": 20.0}}},
    )
    assert load_settings(workdir).machine.timeout_s("drizzle") == 20.0
    assert load_settings(workdir).machine.timeout_s("tweakreg") == 10.0
    monkeypatch.setenv("HST_ASSETS_MAX_CORES", "3")
    monkeypatch.setenv("HST_ASSETS_TOOL_TIMEOUT_S", "99.5")
    machine = load_settings(workdir).machine
    assert machine.max_cores == 3
    assert {machine.timeout_s(tool) for tool in TOOLS} == {99.5}


def test_a_limit_of_the_worker_that_is_none_is_told_by_its_variable(workdir, monkeypatch):
    monkeypatch.setenv("HST_ASSETS_MAX_CORES", "none")
    with pytest.raises(BadConfiguration, match=r"HST_ASSETS_MAX_CORES.*max_cores"):
        load_settings(workdir)


def test_every_alignment_method_may_have_a_timeout_of_its_own():
    from hst_assets.astrometry.methods.registry import METHODS

    assert set(METHODS) < set(TOOLS)


def _write_one(workdir, start, n):
    start.wait()
    write_settings(workdir, {"archive": {_KEYS[n]: n}})


#: Settings of one section that take any number here.
_KEYS = (
    *("radius_arcmin", "max_exptime_s", "n_workers", "timeout_s", "max_tries", "first_wait_s"),
    "listing_max_age_s",
)


def test_changes_at_one_time_all_stand(workdir):
    forked = multiprocessing.get_context("fork")
    start = forked.Barrier(len(_KEYS) - 1)
    writers = [
        forked.Process(target=_write_one, args=(workdir, start, n)) for n in range(1, len(_KEYS))
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    archive = load_settings(workdir).archive
    assert [getattr(archive, key) for key in _KEYS[1:]] == list(range(1, len(_KEYS)))


def test_settings_can_be_looked_at_before_they_are_written(workdir):
    assert settings_after(workdir, {"drizzle": {"size_pix": 300}}).drizzle.size_pix == 300
    assert not workdir.settings_file.exists()
    with pytest.raises(BadConfiguration, match=r"drizzle\.size_pix"):
        settings_after(workdir, {"drizzle": {"size_pix": 0}})

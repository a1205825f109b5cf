"""`hst-assets doctor`: every part is told, and what is wrong ends with 1."""

import json

from hst_assets.workdir import WorkDir

SUBJECTS = {
    *("Python", "packages", "DOLPHOT", "reference files", "memory", "work directories"),
    *("archive", "shared folder", "Dagster instance"),
}


def _told(result):
    return {each["subject"]: each for each in json.loads(result.out)}


def test_every_part_is_told(cli, root):
    result = cli("doctor", "--offline", "--json")
    told = _told(result)
    assert set(told) == SUBJECTS
    assert told["archive"]["verdict"] == "not checked"
    assert told["Dagster instance"]["verdict"] == "ok"
    assert result.code == 0


def test_the_archive_is_asked(cli, root, mast):
    result = cli("doctor")
    assert result.code == 0, result.err
    assert "answers" in result.out


def test_invalid_settings_end_it_with_1(cli, root):
    (root / "settings.toml").write_text("[drizzle]\nsize_pix = 0\n")
    result = cli("doctor", "--offline", "--json")
    assert result.code == 1
    told = _told(result)
    assert told["settings"]["verdict"] == "error"
    assert {told[name]["verdict"] for name in ("DOLPHOT", "reference files", "archive")} == {
        "not checked"
    }


def test_an_instance_of_another_root_is_an_error(cli, root, tmp_path):
    cli("target", "add", "sn1", "10", "-20")
    other = WorkDir(tmp_path / "other", "sn1")
    other.base.mkdir(parents=True)
    other.settings_file.write_text("[target]\nra_deg = 1.0\ndec_deg = 2.0\n")
    result = cli("doctor", "--offline", "--root", other.root, "--json")
    assert result.code == 1
    assert "sn1" in _told(result)["Dagster instance"]["told"]

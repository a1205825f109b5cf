import pytest

from hst_assets.failures import BadConfiguration
from hst_assets.settings import load_settings


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

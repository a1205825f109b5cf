import pytest

from hst_assets.failures import BadConfiguration
from hst_assets.settings import Settings, load_settings
from hst_assets.settings.fields import Section


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


class _Base(Section):
    """A section."""

    own: int = 1
    """What ``own`` is.

    Only the documentation says this.
    """
    bare: int = 2


class _Derived(_Base):
    """Another."""

    more: int = 3
    """One line,
    and its end."""


def test_the_docstring_below_a_field_is_its_meaning():
    assert _Base.meaning("own") == "What ``own`` is. Only the documentation says this."
    assert _Base.summary("own") == "What own is."
    assert _Base.meaning("bare") == ""


def test_a_field_keeps_its_meaning_in_derived_sections():
    assert _Derived.summary("own") == "What own is."
    assert _Derived.summary("more") == "One line, and its end."


def test_every_setting_has_a_meaning():
    sections = {name: type(field.default) for name, field in Settings.model_fields.items()}
    bare = [
        f"{name}.{key}"
        for name, section in sections.items()
        for key in section.model_fields
        if not section.meaning(key)
    ]
    assert bare == []


def test_defaults_are_shared_by_all_that_is_read():
    """Copies of them took a third of the time in which the settings of a target are read."""
    one, another = (
        Settings.model_validate({}),
        Settings.model_validate({"machine": {"max_cores": 1}}),
    )
    assert one.drizzle is another.drizzle
    assert one.machine != another.machine

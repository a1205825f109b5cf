import math

import pytest

from hst_assets.settings import TargetSettings, load_settings
from hst_assets.workdir import WorkDir


def test_filters_are_one_set_however_spelled(workdir):
    workdir.settings_file.write_text("[selection]\nonly_filter = ['f814w', ' F606W', 'F814W']\n")
    assert load_settings(workdir).selection.only_filter == ("F606W", "F814W")


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1])
def test_a_position_is_on_the_sky(value):
    with pytest.raises(ValueError, match="ra_deg"):
        TargetSettings(ra_deg=value, dec_deg=0.0)


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

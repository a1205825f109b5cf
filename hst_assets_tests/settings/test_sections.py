import pytest

from hst_assets.failures import BadConfiguration
from hst_assets.settings import Settings, load_settings
from hst_assets.workdir import WorkDir


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="frozen"):
        Settings().selection.keep_short = True


def test_machine_settings_are_a_section_of_their_own(workdir):
    assert "max_cores" not in str(load_settings(workdir).drizzle.as_recipe())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[selection]\nafter = 2014-01-01\nbefore = 2013-01-01\n", "before must be later than"),
        ("[selection]\nafter = 'yesterday'\n", "not a date in ISO 8601"),
        ("[drizzle]\nscale_arcsec = inf\n", "drizzle.scale_arcsec"),
        (
            '[drizzle.photometry]\n"acs_hrc.f55w" = [3e-19, 5356.0]\n',
            "no filter 'f55w'; acs_hrc has f220w, f250w",
        ),
        (
            '[drizzle.photometry]\n"hrc.f555w" = [3e-19, 5356.0]\n',
            "detectors are wfc3_uvis, wfc3_ir",
        ),
        ("[drizzle.sky_level]\nF606W = 0.1\n", "neither a band, such as acs_hrc.f555w, nor a"),
        ("[drizzle.sky_level]\niabc01a1q = nan\n", "drizzle.sky_level.iabc01a1q"),
        ("[drizzle]\nsky_sub = false\nsky_level = {iabc01a1q = 0.1}\n", "needs sky_sub"),
        ("[drizzle]\nobject_name = 'a b'\n", "a file name must be able to start with it"),
        ("[alignment]\nsearch_radius_arcsec = 1e9\n", "search_radius_arcsec"),
    ],
)
def test_settings_without_sense_are_refused(tmp_path, text, message):
    workdir = WorkDir(tmp_path, "sn1").create()
    workdir.settings_file.write_text(text)
    with pytest.raises(BadConfiguration, match=message):
        load_settings(workdir)

"""A user's file of DOLPHOT parameters, as settings."""

import pytest

from hst_assets.failures import BadConfiguration
from hst_assets.settings import load_settings
from hst_assets.settings.dolphot_file import read_parameters_file
from hst_assets.workdir import WorkDir

FILE = """# remarks and empty lines

sigfinal = 4.5   # small letters
img_RAper = 4
img0_RPSF = 12
img_apsky = 15 25
RSky0 = 12
RSky1 = 30
photsec = 0 1 10 10 500 500
psfstars =
"""


@pytest.fixture
def workdir(tmp_path):
    workdir = WorkDir(tmp_path, "t").create()
    (workdir.base / "my.param").write_text(FILE)
    workdir.settings_file.write_text('[dolphot]\nparameters_file = "my.param"\n')
    return workdir


def test_its_values_are_settings(workdir):
    dolphot = load_settings(workdir).dolphot
    assert (dolphot.SigFinal, dolphot.photsec) == (4.5, "0 1 10 10 500 500")
    everywhere = dolphot.detectors["all"]
    assert (everywhere.RAper, everywhere.apsky, everywhere.RSky) == (4, (15, 25), (12, 30))
    assert dolphot.images["reference"].RPSF == 12
    assert dolphot.psfstars is None


def test_settings_win_over_it(workdir):
    workdir.settings_file.write_text(
        '[dolphot]\nparameters_file = "my.param"\nSigFinal = 5\n[dolphot.detectors.all]\nRPSF = 9\n'
    )
    dolphot = load_settings(workdir).dolphot
    assert dolphot.SigFinal == 5
    assert (dolphot.detectors["all"].RPSF, dolphot.detectors["all"].RAper) == (9, 4)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("SigFinl = 3", "SigFinal"),
        ("img_RApr = 3", "img_RAper"),
        ("img0001_RAper = 3", r"\[dolphot.images"),
        ("img0001_file = x", "remove the line"),
        ("Nimg = 4", "remove the line"),
        ("FakeStars = x", "artificial_stars"),
        ("Foo", "NAME = value"),
    ],
)
def test_names_are_checked_with_their_line(tmp_path, line, said):
    path = tmp_path / "my.param"
    path.write_text(f"SigFinal = 3\n{line}\n")
    with pytest.raises(BadConfiguration, match=said) as caught:
        read_parameters_file(path)
    assert str(caught.value.where).endswith("my.param, line 2")


@pytest.mark.parametrize("line", ["FitSky = 9", "SigFinal = 0", "AlignOnly = x", "RSky0 = 3"])
def test_values_out_of_range_are_refused(workdir, line):
    (workdir.base / "my.param").write_text(line)
    name = line.partition(" ")[0].rstrip("0")
    with pytest.raises(BadConfiguration, match=name):
        load_settings(workdir)


def test_a_file_that_is_not_there_is_told(workdir):
    (workdir.base / "my.param").unlink()
    with pytest.raises(BadConfiguration, match=r"dolphot\.parameters_file does not exist"):
        load_settings(workdir)

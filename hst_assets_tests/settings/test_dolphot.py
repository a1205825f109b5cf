"""DOLPHOT's parameters as settings: what the program refuses is refused before."""

import pytest
from pydantic import ValidationError

from hst_assets.settings import DolphotParameters, DolphotSettings, ImageParameters, Settings

#: What the program refuses (its messages), each with exit status 0.
REFUSED = {
    "FitSky": (-1, 5),
    "PSFPhot": (-1, 3),
    "PSFPhotIt": (0, 6),
    "SecondPass": (-1,),
    "MaxIT": (0,),
    "ApCor": (-1, 2),
    "Force1": (-1, 2),
    "UseWCS": (-1, 3),
    "Align": (-1, 5),
    "AlignIter": (0,),
    "AlignOnly": (2,),
    "RCentroid": (0,),
    "FlagMask": (-1, 8),
    "SigFind": (0,),
    "SigFindMult": (0,),
    "SigFinal": (0, float("nan")),
    "NoiseMult": (-0.1,),
    "FSat": (0,),
    "AlignTol": (-1,),
    "AlignStep": (0,),
    "PosStep": (0,),
    "dPosMax": (0,),
    "RCombine": (-1,),
    "SigPSF": (-1,),
    "MaxE": (-0.1, 1.1),
    "PSFsol": (-2, 3),
    "FakeMatch": (0,),
    "DiagPlotType": ("TIFF",),
    "FPSF": ("moffat",),
    "photsec": ("0 1 10",),
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in REFUSED.items() for v in vs])
def test_what_the_program_refuses_is_no_setting(name, value):
    with pytest.raises(ValidationError, match=name):
        DolphotSettings.model_validate({name: value})


@pytest.mark.parametrize(
    "table",
    [
        {"EPSF": 0},
        {"EPSF": 0, "PSFsol": 0},
        {"xytpsf": "a.fits"},
        {"MinS": 3, "MaxS": 2},
        {"detectors": {"wfc3": {}}},
        {"detectors": {"all": {"RSky": [30, 15]}}},
        {"detectors": {"all": {"RApr": 3}}},
        {"base": "a/b"},
        {"base": "x" * 40},
    ],
    ids=str,
)
def test_what_does_not_fit_together_is_refused(table):
    with pytest.raises(ValidationError):
        DolphotSettings.model_validate(table)


def test_capitals_of_values_do_not_matter():
    chosen = DolphotSettings.model_validate({"FPSF": "Gauss", "DiagPlotType": "png"})
    assert (chosen.FPSF, chosen.DiagPlotType) == ("gauss", "PNG")


def test_every_parameter_has_a_meaning():
    for model in (DolphotParameters, DolphotSettings, ImageParameters):
        assert [name for name in model.model_fields if not model.summary(name)] == []


def test_where_the_program_lies_is_not_in_the_recipe():
    moved = DolphotSettings.model_validate({"program": "/opt/dolphot", "base": "deep"})
    assert moved.as_recipe() == Settings().dolphot.as_recipe()

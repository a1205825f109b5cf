"""What decides an alignment, and what does not."""

import pytest

from hst_assets.astrometry.recipes import (
    alignment_tools,
    decisive_alignment,
    uses_absolute_catalog,
)
from hst_assets.settings import Settings


def recipe(key="wfc3_uvis", **sections):
    settings = Settings.model_validate(sections)
    return decisive_alignment(settings, key), alignment_tools(settings)


WITH_CATALOG = {"alignment": {"align_with": ["tweakreg", "catalog"]}}


@pytest.mark.parametrize(
    "sections",
    [
        {"catalog": {"source": "mine.ecsv"}},
        {"catalog": {"max_position_error_mas": 3.0}},
        {"alignment": {"conv_width_pix": {"acs_wfc": 3.0}}},
        {"alignment": {"tolerance_pix": {"acs_wfc": 3.0}}},
    ],
)
def test_what_only_others_look_at_decides_nothing(sections):
    assert recipe(**sections) == recipe()


@pytest.mark.parametrize(
    "alignment",
    [
        {"align_with": ["jhat"]},
        {"align_with": ["tweakreg", "jhat"]},
        {"conv_width_pix": {"wfc3_uvis": 3.0}},
        {"tolerance_pix": {"wfc3_uvis": 3.0}},
        {"keep_objfile": True},
        {"threshold_curve": True},
    ],
)
def test_what_the_methods_in_use_look_at_decides(alignment):
    assert recipe(alignment=alignment) != recipe()


def test_the_order_of_the_methods_decides():
    one = {"align_with": ["tweakreg", "catalog"]}
    other = {"align_with": ["catalog", "tweakreg"]}
    assert recipe(alignment=one) != recipe(alignment=other)


def test_with_the_catalogue_in_use_its_limit_decides():
    strict = recipe(**WITH_CATALOG, catalog={"max_position_error_mas": 3.0})
    assert strict != recipe(**WITH_CATALOG)
    # Which service was asked, and how patiently, is not in it: the release is the same.
    assert recipe(**WITH_CATALOG, catalog={"timeout_s": 5.0}) == recipe(**WITH_CATALOG)


def test_only_the_tools_of_the_methods_in_use_decide():
    _, usual = recipe()
    _, both = recipe(**WITH_CATALOG)
    assert "stsci.stimage" in usual
    assert "tweakwcs" in set(both) - set(usual)


def test_skipping_the_alignment_needs_no_catalogue():
    skipped = {"align_with": ["catalog"], "skip_tweakreg": True}
    assert not uses_absolute_catalog(Settings.model_validate({"alignment": skipped}))
    assert uses_absolute_catalog(Settings.model_validate(WITH_CATALOG))

import numpy as np
import pytest

from hst_assets.failures import BadConfiguration
from hst_assets.photometry.catalog.artificial_stars import read_artificial_stars
from hst_assets.photometry.catalog.bands import bands_of
from hst_assets.photometry.catalog.columns import CatalogColumns, CatalogImage
from hst_assets.photometry.catalog.magnitudes import detectors_of_bands
from hst_assets.photometry.catalog.quantities import NOT_RECOVERED
from hst_assets.photometry.catalog.reading import read_catalog
from hst_assets.photometry.catalog.run_info import read_run_info
from hst_assets.photometry.quality_cuts import (
    DETECTION_SNR,
    PRESETS,
    QualityCuts,
    cuts_of,
    detected_in,
    stars_in,
    tally,
)
from hst_assets.settings import QualityCutSettings
from hst_assets_tests.photometry.catalog.made_catalogs import made_catalog
from hst_assets_tests.photometry.catalog.reference_runs import TWO_FILTERS, needs_runs

UVIS = {"F606W": "wfc3_uvis", "F814W": "wfc3_uvis"}
IR = {"F606W": "wfc3_ir", "F814W": "wfc3_ir"}


def stars(**values):
    """Good stars, of which these columns have these values."""
    n = max((len(each) for each in values.values()), default=3)
    catalog = made_catalog(n)
    for name in ("f606w", "f814w"):
        good = {"vega_mag": 20.0, "snr": 50.0, "sharpness": 0.0, "crowding": 0.0, "flag": 0}
        for key, value in good.items():
            catalog.data[f"{name}_{key}"][:] = value
    catalog.data["object_type"][:] = 1
    for image in catalog.columns.images:
        catalog.values("flag", image=image.number)[:] = 0
    for key, each in values.items():
        catalog.data[key][:] = each
    return catalog


def band(catalog, name):
    return next(each for each in bands_of(catalog.columns) if each.name.endswith(name))


def removed(result):
    return {
        str(row["cut"]): (int(row["removed_first"]), int(row["removed_alone"]))
        for row in result.removed
    }


def test_without_a_cut_everything_is_kept():
    result = tally(stars(object_type=[1, 2, 3, 4, 5]), PRESETS["none"])
    assert result.kept.all()
    assert len(result.removed) == 0


@pytest.mark.parametrize(("min_snr", "seen"), [(None, DETECTION_SNR), (1.0, 1.0), (10.0, 10.0)])
def test_a_star_of_another_filter_is_not_seen_where_it_is_noise(min_snr, seen):
    """The user's own limit takes the place of that of detections."""
    catalog = stars(f606w_snr=[50.0, seen, seen - 0.1])
    cuts = QualityCuts(object_types=(1,), min_snr=min_snr)
    result = tally(catalog, cuts)
    assert result.kept.all()  # for F814W
    assert list(stars_in(catalog, cuts, result, band(catalog, "F606W"))) == [True, True, False]
    assert stars_in(catalog, cuts, result, band(catalog, "F814W")).all()


def test_what_was_not_measured_in_a_filter_is_not_seen_there():
    catalog = stars(f606w_vega_mag=[20.0, 99.999, 20.0])
    assert list(detected_in(catalog, PRESETS["none"], band(catalog, "F606W"))) == [
        True,
        False,
        True,
    ]


def test_a_star_of_a_filter_passes_the_cuts_that_are_made_there():
    catalog = stars(f606w_sharpness=[0.0, 2.0, 0.0], object_type=[1, 1, 1])
    result = tally(catalog, PRESETS["st"], UVIS)
    assert list(stars_in(catalog, PRESETS["st"], result, band(catalog, "F606W"))) == [
        True,
        False,
        True,
    ]


def test_stars_are_of_type_1():
    result = tally(stars(object_type=[1, 2, 3, 4, 5]), PRESETS["stars"])
    assert result.kept.tolist() == [True, False, False, False, False]
    assert removed(result) == {"object type": (4, 4)}


@pytest.mark.parametrize(
    ("quantity", "values", "preset"),
    [
        ("snr", (4.0, 3.9), "st"),
        ("sharpness", (-0.387, -0.388), "st"),  # squares of 0.1498 and 0.1505
        ("crowding", (1.3, 1.301), "gst"),
    ],
)
def test_a_limit_belongs_to_what_passes(quantity, values, preset):
    columns = {f"{name}_{quantity}": list(values) for name in ("f606w", "f814w")}
    assert tally(stars(**columns), PRESETS[preset], UVIS).kept.tolist() == [True, False]


def test_limits_are_those_of_the_detector():
    crowded = stars(f606w_crowding=[2.0], f814w_crowding=[2.0])
    assert not tally(crowded, PRESETS["gst"], UVIS).kept[0]
    assert tally(crowded, PRESETS["gst"], IR).kept[0]


def test_a_star_is_kept_if_it_is_good_in_one_filter():
    result = tally(stars(f606w_snr=[1.0, 9.0, 1.0], f814w_snr=[9.0, 9.0, 1.0]), PRESETS["st"], UVIS)
    assert result.kept.tolist() == [True, True, False]
    assert result.good_in["F606W"].tolist() == [False, True, False]
    assert result.good_in["F814W"].tolist() == [True, True, False]


def test_it_must_be_good_in_one_filter_by_all_limits():
    # Significant in one filter, sharp in the other: in neither is it a star.
    result = tally(stars(f606w_snr=[1.0], f814w_sharpness=[0.9]), PRESETS["st"], UVIS)
    assert not result.kept[0]


def test_all_filters_can_be_demanded():
    cuts = QualityCuts(min_snr=4.0, in_all_filters=True)
    result = tally(stars(f606w_snr=[1.0, 9.0]), cuts)
    assert result.kept.tolist() == [False, True]


def test_what_was_not_measured_or_is_no_number_passes_no_limit():
    catalog = stars(f606w_vega_mag=[99.999, 20, 20], f814w_vega_mag=[99.999, 99.999, 20])
    catalog.data["f606w_snr"][1] = np.nan
    assert tally(catalog, PRESETS["st"], UVIS).kept.tolist() == [False, False, True]


def test_flags_are_allowed_by_their_bits():
    catalog = stars(f606w_flag=[0, 1, 2, 3, 4, 8], f814w_flag=[9] * 6)
    kept = tally(catalog, QualityCuts(allowed_flags=3)).kept
    assert kept.tolist() == [True, True, True, True, False, False]


def test_it_is_told_what_each_cut_removed_first_and_alone():
    types = [1, 2, 2, 1, 1]
    snr = [9.0, 9.0, 1.0, 1.0, 1.0]
    catalog = stars(object_type=types, f606w_snr=snr, f814w_snr=snr)
    result = tally(catalog, QualityCuts(object_types=(1,), min_snr=4.0))
    assert removed(result) == {"object type": (2, 1), "measured": (0, 0), "S/N": (2, 2)}
    assert sum(first for first, _ in removed(result).values()) == (~result.kept).sum()


def test_artificial_stars_that_were_not_recovered_are_never_kept():
    catalog = stars(object_type=[1, 1, 1])
    for image in catalog.columns.images:
        catalog.values("flag", image=image.number)[1] = NOT_RECOVERED
    for preset in PRESETS.values():
        assert tally(catalog, preset, UVIS).kept.tolist() == [True, False, True]


def test_limits_by_detector_need_the_detector():
    with pytest.raises(BadConfiguration, match="F606W, which is of a detector that is not known"):
        tally(stars(), PRESETS["st"])


def test_a_detector_without_limits_does_not_pass_in_silence():
    wfpc2 = dict.fromkeys(UVIS, "wfpc2")
    with pytest.raises(BadConfiguration, match=r"quality_cuts\.max_sharpness_squared"):
        tally(stars(), PRESETS["gst"], wfpc2)
    own = QualityCutSettings(preset="st", max_sharpness_squared={"wfpc2": 0.1})
    assert tally(stars(), cuts_of(own), wfpc2).kept.all()


def test_images_decide_where_no_filter_has_columns():
    columns = CatalogColumns((), (CatalogImage(1, "g1", "", 120.0),))
    catalog = made_catalog(2, columns)
    for key, value in {"instrumental_mag": 20.0, "flag": 0, "snr": [9.0, 1.0]}.items():
        catalog.values(key, image=1)[:] = value
    assert tally(catalog, QualityCuts(min_snr=4.0)).kept.tolist() == [True, False]


def test_settings_replace_limits_one_by_one():
    own = QualityCutSettings(preset="gst", min_snr=5, max_crowding_mag={"acs_wfc": 0.5})
    cuts = cuts_of(own)
    assert cuts.min_snr == 5
    assert cuts.max_crowding_mag["acs_wfc"] == 0.5
    assert cuts.max_crowding_mag["wfc3_uvis"] == PRESETS["gst"].max_crowding_mag["wfc3_uvis"]
    assert cuts.as_recipe()["filters"] == "any"


def test_the_default_is_what_hst123_keeps():
    assert cuts_of(QualityCutSettings()) == PRESETS["stars"]


class TestReference:
    pytestmark = needs_runs

    def test_real_and_artificial_stars_are_cut_by_the_same_limits(self):
        catalog = read_catalog(TWO_FILTERS.catalog)
        detectors = detectors_of_bands(catalog.columns, read_run_info(TWO_FILTERS.file(".info")))
        artificial = read_artificial_stars(TWO_FILTERS.file(".fake"))
        real = tally(catalog, PRESETS["gst"], detectors)
        fake = tally(artificial.measured, PRESETS["gst"], detectors)
        assert list(real.removed["limit"]) == list(fake.removed["limit"])
        # Of 1,000 detections near the limit a third is none; injected stars are bright ones.
        assert 0.6 < real.kept.mean() < 0.7
        assert fake.kept.mean() > 0.95

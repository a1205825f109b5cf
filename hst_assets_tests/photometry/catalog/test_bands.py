"""Bands: filters of two instruments with one name, and filters of a single image."""

import pytest

from hst_assets.photometry.catalog.bands import bands_of
from hst_assets.photometry.catalog.columns import CatalogColumns, CatalogFilter, CatalogImage
from hst_assets.photometry.catalog.magnitudes import detectors_of_bands, with_ab_and_st
from hst_assets.photometry.catalog.run_info import ChipInfo, InstrumentLine, RunInfo
from hst_assets.photometry.catalog.vega import vega_band
from hst_assets.photometry.quality_cuts import PRESETS, tally
from hst_assets_tests.photometry.catalog.made_catalogs import made_catalog

FIRST_ROW = {"vega_mag": 20.0, "snr": 50.0, "sharpness": 0.0, "flag": 0}


def columns(*images, prefix=False):
    """Of images given by instrument and filter; two of a kind have columns of their own."""
    kinds = [kind for kind in dict.fromkeys(images) if images.count(kind) > 1]

    def label(kind):
        return "_".join(kind) if prefix else kind[1]

    return CatalogColumns(
        tuple(CatalogFilter(label(kind)) for kind in kinds),
        tuple(
            CatalogImage(number, f"i{number}q_flc.chip1", label(kind), 500.0)
            for number, kind in enumerate(images, 1)
        ),
    ).named_by({number: kind[0] for number, kind in enumerate(images, 1)})


def info(images):
    """The .info of these images: ACS/WFC and WFC3/UVIS, chip 1."""
    lines = tuple(
        InstrumentLine(instrument, number, name, ("1", "500.0"))
        for number, (instrument, name) in enumerate(images, 1)
    )
    chip = ChipInfo(0, 1, (0, 1, 0, 1), (("all", lines),), None, None, None)
    return RunInfo((), (chip,))


BOTH = [("ACS", "F814W")] * 2 + [("WFC3", "F814W")] * 2
MIXED = [("ACS", "F814W")] * 2 + [("WFC3", "F814W"), ("WFC3", "F275W")]


@pytest.mark.parametrize("prefix", [False, True])
def test_a_filter_of_two_instruments_is_two_bands(prefix):
    bands = bands_of(columns(*BOTH, prefix=prefix))
    assert [band.name for band in bands] == ["ACS_F814W", "WFC3_F814W"]
    assert [[image.number for image in band.images] for band in bands] == [[1, 2], [3, 4]]


def test_a_filter_of_one_image_is_in_the_columns_of_the_image():
    bands = {band.name: band for band in bands_of(columns(*MIXED))}
    assert list(bands) == ["ACS_F814W", "WFC3_F814W", "F275W"]
    assert bands["WFC3_F814W"].address == {"image": 3}
    assert bands["F275W"].address == {"image": 4}
    assert len({band.stem for band in bands.values()}) == 3


def test_images_of_no_known_filter_are_a_band_each():
    known = CatalogColumns((), tuple(CatalogImage(n, f"g{n}", "", 120.0) for n in (1, 2)))
    assert [band.name for band in bands_of(known)] == ["g1 (120.0 sec)", "g2 (120.0 sec)"]


@pytest.mark.parametrize("images", [BOTH, MIXED])
def test_each_instruments_magnitudes_go_with_its_own_vega(images):
    known = columns(*images)
    catalog = made_catalog(1, known)
    for band in bands_of(known):
        catalog.values("vega_mag", **band.address)[:] = 20.0
    found = with_ab_and_st(catalog, detectors_of_bands(known, info(images)))
    for instrument, detector in (("acs", "acs_wfc"), ("wfc3", "wfc3_uvis")):
        stem = "f814w" if instrument == "acs" and images is MIXED else f"{instrument}_f814w"
        expected = 20.0 + vega_band(detector, "F814W").ab_mag()
        # 0.0054 mag between the two; the table has four digits.
        assert found[f"{stem}_ab_mag"][0] == pytest.approx(expected, abs=1e-9)


def test_each_instruments_stars_pass_its_own_limits():
    known = columns(*BOTH)
    catalog = made_catalog(1, known)
    for band, crowding in zip(bands_of(known), (2.0, 2.0), strict=True):
        for key, value in {**FIRST_ROW, "crowding": crowding}.items():
            catalog.values(key, **band.address)[:] = value
    for image in known.images:
        catalog.values("flag", image=image.number)[:] = 0
    result = tally(catalog, PRESETS["gst"], detectors_of_bands(known, info(BOTH)))
    # Crowding up to 2.25 mag with ACS, 1.3 mag with WFC3/UVIS.
    assert {name: good.tolist() for name, good in result.good_in.items()} == {
        "ACS_F814W": [True],
        "WFC3_F814W": [False],
    }


def test_a_star_that_is_good_in_a_filter_of_one_image_is_kept():
    known = columns(*MIXED)
    catalog = made_catalog(1, known)
    for band in bands_of(known):
        good = band.name == "F275W"
        for key, value in {**FIRST_ROW, "crowding": 0.0, "snr": 50.0 if good else 1.0}.items():
            catalog.values(key, **band.address)[:] = value
    result = tally(catalog, PRESETS["gst"], detectors_of_bands(known, info(MIXED)))
    assert result.kept.tolist() == [True]
    assert [name for name, good in result.good_in.items() if good[0]] == ["F275W"]

"""Artificial stars of an embedded catalogue: measured in children, kept, resumed."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.table import QTable

from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.photometry.artificial_stars.lists import in_order_of_lists
from hst_assets.photometry.artificial_stars.photometers import embedded_parameters
from hst_assets.photometry.artificial_stars.product import make_artificial_stars
from hst_assets.photometry.catalog.artificial_stars import (
    read_artificial_stars,
    read_stars_put_in,
)
from hst_assets.photometry.catalog.bands import CatalogBand
from hst_assets.photometry.catalog.reading import catalog_columns
from hst_assets.photometry.psf import catalog_run
from hst_assets.photometry.psf.catalog_run import make_embedded_catalog
from hst_assets.photometry.psf.measure_parameters import MeasureParameters
from hst_assets.photometry.psf.measurement_file import KeptImage, MeasurementFile
from hst_assets.photometry.psf.sky_mesh import SkyMesh
from hst_assets.products.columns import read_table
from hst_assets.settings import Settings, load_settings, write_settings
from hst_assets_tests.photometry.dolphot import small_field as field
from hst_assets_tests.photometry.psf.embedded_field import KnowingEngine, embedded_field
from hst_assets_tests.photometry.psf.known_fields import gaussian_psf

N_STARS, CHUNK = 90, 45


class RememberingEngine(KnowingEngine):
    """Keeps what is true of the field, too."""

    def __call__(self, sources, priors, **more):
        stars = super().__call__(sources, priors, **more)
        x, y, counts = field.truth()
        psf = gaussian_psf(field.FWHM_PIX / 2.3548)
        images = tuple(
            KeptImage(
                each.name, each.psf_key, each.shape, (0.0, 0.0), -0.05, 0.01,
                SkyMesh.of_chip(each.shape), np.empty(0, np.int64),
            )
            for each in sources
        )  # fmt: skip
        electrons = np.tile(counts * field.GAIN, (len(images), 1))
        psfs = {each.psf_key: psf for each in sources}
        kept = MeasurementFile(images, psfs, MeasureParameters(noise_mult=0.03), x, y, electrons)
        return replace(stars, kept=kept, aperture_correction_mag=np.full(len(images), -0.05))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    workdir = embedded_field(tmp_path_factory.mktemp("artificial") / "root")
    chosen = {"n_stars": N_STARS, "chunk_size": CHUNK, "bright_mag": 18.5, "faint_mag": 25.5}
    write_settings(workdir, {"artificial_stars": chosen})
    settings = load_settings(workdir)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog_run, "measure_target", RememberingEngine())
        make_embedded_catalog(workdir, settings)
    told = []
    made = make_artificial_stars(workdir, settings, progress=lambda each: told.append(str(each)))
    return workdir, settings, made, told


def test_bright_stars_come_back_with_their_magnitudes(measured):
    """The way into the image is the way back: those found alone agree to 0.02 mag in the median."""
    workdir, _, made, _ = measured
    stars = QTable.read(workdir.artificial_stars)
    true, found = (stars[f"wfc3_f814w_{what}"].value for what in ("true", "measured"))
    good = np.asarray(stars["wfc3_f814w_recovered"]) & (true < 22)
    assert made.facts["n_stars"] == len(stars) == N_STARS
    assert good.sum() > 0.8 * (true < 22).sum()
    assert np.median(found[good] - true[good]) == pytest.approx(0, abs=0.02)
    assert not np.asarray(stars["wfc3_f814w_recovered"])[true > 25].any()


def test_the_result_is_in_dolphots_format(measured):
    workdir, _, _, _ = measured
    columns = catalog_columns(workdir.dolphot / "dp0000")
    put_in = read_stars_put_in(workdir.dolphot / "dp0000.fakelist", ["WFC3_F814W"])
    result = read_artificial_stars(workdir.dolphot / "dp0000.fake", columns=columns)
    assert (result.found_of(put_in) >= 0).sum() == len(result) <= len(put_in)
    lost = ~result.recovered
    assert 0 < lost.sum() < len(lost)
    assert set(result.measured["x"][lost]) == {0.0}
    assert set(result.measured.values("vega_mag", image=1)[lost]) == {99.999}
    # Zero point 24.71 of a count a second, 120 s, 0.05 mag of aperture correction.
    counts = 120 * 10 ** (-0.4 * (result.magnitudes - 24.71 + 0.05))
    assert result.counts == pytest.approx(counts, rel=0.02)


def test_progress_names_the_embedded_photometer(measured):
    told = measured[3]
    assert told[0].startswith("psf photometry: ")
    assert told[-1].endswith("(100%)")


def test_nothing_is_measured_again(measured):
    workdir, settings, _, _ = measured
    assert not make_artificial_stars(workdir, settings).ran


def test_only_a_list_that_is_missing_is_measured_again_and_the_same(measured):
    workdir, settings, _, _ = measured
    first, second = (workdir.artificial_chunk(number) for number in (1, 2))
    was, time = second.read_bytes(), first.stat().st_mtime_ns
    second.unlink()
    workdir.completeness.unlink()
    assert make_artificial_stars(workdir, settings).ran
    assert second.read_bytes() == was
    assert first.stat().st_mtime_ns == time


def test_what_the_measurement_keeps_is_needed(measured):
    workdir, settings, _, _ = measured
    kept, aside = workdir.dolphot / "dp0000.psf.h5", workdir.dolphot / "aside"
    more = settings.model_copy(
        update={"artificial_stars": settings.artificial_stars.model_copy(update={"seed": 9})}
    )
    kept.rename(aside)
    try:
        with pytest.raises(MissingProduct, match=r"dp0000\.psf\.h5"):
            make_artificial_stars(workdir, more)
        kept.write_bytes(aside.read_bytes()[:2000])
        with pytest.raises(UnusableInput, match="damaged"):
            make_artificial_stars(workdir, more)
    finally:
        aside.replace(kept)


def test_completeness_is_a_table_of_the_filter(measured):
    rows = read_table(measured[0].completeness)
    assert set(rows["filter"]) == {"WFC3_F814W"}
    assert rows["n_in"].sum() == N_STARS


def test_the_order_of_bands_needs_no_program():
    def band(name, instrument):
        return CatalogBand(name, name, instrument, (), has_columns=True, stem=name)

    bands = [band("F814W", "WFC3"), band("F606W", ""), band("F555W", "WFPC2"), band("F435W", "ACS")]
    ordered = in_order_of_lists(bands, None)
    assert [each.instrument for each in ordered] == ["WFPC2", "ACS", "WFC3", ""]


@pytest.mark.parametrize("changed", [{"flag_mask": 4}, {"wfpc2_cte": False}])
def test_what_decides_how_stars_are_put_in_is_in_the_recipe_of_a_list(changed) -> None:
    asked = Settings()
    other = asked.model_copy(update={"embedded": asked.embedded.model_copy(update=changed)})
    assert embedded_parameters(other) != embedded_parameters(asked)

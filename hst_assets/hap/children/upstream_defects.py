"""Work-arounds of defects of drizzlepac 3.11's HAP code; only child processes import this.

Each has a test that meets the defect in drizzlepac itself, and fails when a release mends it: then
the work-around goes. Import this module before any other part of drizzlepac: one defect is met by
an import.

=============================  ==================================================================
work-around                    defect of drizzlepac 3.11.0
=============================  ==================================================================
`refuse_new_photutils`         photutils 3 renamed columns: catalogues raise, alignment fails
                               without a word
`supply_pdf_merger`            ``compare_sourcelists`` imports ``PyPDF2``, which it does not
                               require; pypdf has the same class under another name
`matched_lines`                ``comparison_utils.extractMatchedLines`` compares a mask with
                               ``[]``, which numpy 2 refuses: three tests of quality fail;
                               ``compare_sourcelists`` has another copy of it (`mend_comparison`)
`Neighbours`                   ``characterize_gaia_distribution`` mixes up x and y of the stars
                               before it measures how far the nearest is (`mend_neighbours`)
`name_exposures_for_quality`   tests with Gaia split a description that has had one more word in
                               it since apertures are told: they look for files that do not exist
`give_alignment_parameters`    ``run_align_to_gaia`` asks for parameters that are not there if the
                               user gave a file of his own
`give_wfpc2_its_limits`        WFPC2's sources are measured in 0.15 and 0.45 arcsec, the table of
                               concentrations is for 0.10 and 0.30: every star is flagged as a hot
                               pixel, and the catalogue of all filters has no row
`wfpc2_gain`                   ``drizCR`` divides the noise of WFPC2's pixels by the gain, although
                               all of it is in electrons: with two exposures, half of all pixels
                               are taken for cosmic rays
`sky_matching`                 not of drizzlepac: skypac 1.0.12 calls a method that
                               spherical_geometry 1.4 dropped, and the skies of exposures are not
                               matched, without a word
`read_noise_in_counts`         WFPC2's images are in DN, the least noise of their background in
                               electrons: 5 sigma are 35
`outages_noted`                a catalogue of stars whose service does not answer is taken for one
                               without stars: the alignment tells "no fit"
=============================  ==================================================================

Of its multi-visit code, two are met by what is asked of it: a poller of several sky cells puts all
exposures into the first (``build_poller_table``; `hst_assets.hap.mosaics.run` refuses it), and an
image of a grism whose OBSTYPE is IMAGING raises a TypeError (``analyze_data``;
`hst_assets.hap.mosaics.layers` has none in its layers).

One is left as it is, for exposures are to be those of runsinglehap: the match with Gaia, of all
exposures together, keeps of the detections of a star the one with the lowest y in the tangent plane
(``stsci.stimage.xyxymatch`` takes them for one object, as they lie within 4 pixels), so that the
fit is off by the scatter of single detections.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from importlib.metadata import version
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.failures import MissingTool
from hst_assets.hap.listed import NO_APERTURE

__all__ = [
    "Neighbours",
    "apply_at_import",
    "give_alignment_parameters",
    "give_wfpc2_its_limits",
    "matched_lines",
    "mend_comparison",
    "mend_neighbours",
    "mended_parameters",
    "name_exposures_for_quality",
    "outages_noted",
    "read_noise_in_counts",
    "refuse_new_photutils",
    "supply_pdf_merger",
]


#: drizzlepac would wait for ever for an answer of the catalogue, seconds.
_PATIENCE_S = 300.0


def refuse_new_photutils(installed: str) -> None:
    """Refuse photutils from 3 on.

    Parameters
    ----------
    installed : str
        Its version.

    Raises
    ------
    MissingTool
        If it is one with which HAP fails without a word.
    """
    if int(installed.partition(".")[0]) >= 3:
        raise MissingTool(
            f"drizzlepac 3.11 does not work with photutils {installed}",
            where="photutils",
            next_step="Install photutils 2: pip install 'photutils<3'",
        )


def supply_pdf_merger(modules: dict[str, ModuleType]) -> None:
    """Let ``from PyPDF2 import PdfFileMerger`` find pypdf's class.

    Parameters
    ----------
    modules : dict
        `sys.modules`.
    """
    from pypdf import PdfWriter

    stand_in = ModuleType("PyPDF2")
    stand_in.PdfFileMerger = PdfWriter  # type: ignore[attr-defined]
    modules.setdefault("PyPDF2", stand_in)


def matched_lines(
    column: str,
    reference: Any,
    compared: Any,
    reference_lines: Any,
    compared_lines: Any,
    bitmask: Any = (),
) -> NDArray[Any]:
    """The values of a column in matched rows of two tables.

    Parameters
    ----------
    column : str
        Name of the column.
    reference, compared : Table
        The tables.
    reference_lines, compared_lines : array_like of int
        The matched rows.
    bitmask : array_like of bool, optional
        Matches to leave out.

    Returns
    -------
    ndarray
        Shape (2, n): the reference's values, and the other's; (2, 0) if a table lacks the column.
    """
    if column not in reference.colnames or column not in compared.colnames:
        return np.empty((2, 0))
    pairs = np.stack(
        [
            np.asarray(reference[column][reference_lines]),
            np.asarray(compared[column][compared_lines]),
        ]
    )
    left_out = np.asarray(bitmask, dtype=bool)
    return pairs[:, ~left_out] if left_out.size else pairs


def name_exposures_for_quality(exposures: Iterable[Any]) -> None:
    """Take the aperture out of the descriptions of exposures, as tests with Gaia expect them.

    Parameters
    ----------
    exposures : iterable of ExposureProduct
        drizzlepac's objects.
    """
    for one in exposures:
        aperture = f"_{one.aperture_from_poller or NO_APERTURE}_"
        one.info = one.info.replace(aperture, "_", 1)


def give_alignment_parameters(configuration: Any) -> None:
    """Put the alignment's parameters where they are looked for, if they came from a user's file.

    Parameters
    ----------
    configuration : HapConfig
        drizzlepac's object.
    """
    alignment = configuration.pars["alignment"]
    if not hasattr(alignment, "pars_multidict"):
        alignment.pars_multidict = {"all": alignment.outpars}


#: Concentration (MagAp1 - MagAp2) of WFPC2's point sources in HAP's apertures of 0.15 and 0.45
#: arcsec. Stars simulated at 6000 and 8000 A, drizzled to the pixels of PC, have 0.08 and 0.17 on
#: PC, 0.21 and 0.28 on the other chips, a hit pixel 0 or less. The upper limit is HAP's own of
#: these apertures (``wfpc2_pc_quality_control_all.json``).
WFPC2_CONCENTRATION = (0.0, 0.55)


def mended_parameters(configuration: Any) -> Any:
    """The parameters of a product, with what drizzlepac forgets; changed in place.

    Parameters
    ----------
    configuration : HapConfig
        drizzlepac's object.
    """
    give_alignment_parameters(configuration)
    give_wfpc2_its_limits(configuration)
    return configuration


def give_wfpc2_its_limits(configuration: Any) -> None:
    """Let WFPC2's stars be stars, where their limits would come from the table of concentrations.

    Parameters
    ----------
    configuration : HapConfig
        drizzlepac's object; those of other instruments, and limits that a user's file gives in
        place of the table's, stay as they are.
    """
    if configuration.instrument != "wfpc2":
        return
    for limits in configuration.pars["quality control"].outpars["ci filter"].values():
        if limits["lookup_ci_limits_from_table"]:
            limits["ci_lower_limit"], limits["ci_upper_limit"] = WFPC2_CONCENTRATION


def read_noise_in_counts(image: type) -> type:
    """HAP's image for catalogues, with WFPC2's read noise in DN, the unit of its images.

    Parameters
    ----------
    image : type
        ``CatalogImage``, whose ``_get_header_data`` gives the read noise in electrons.

    Returns
    -------
    type
        A subclass.
    """

    class ImageInCounts(image):  # type: ignore[misc]
        def _get_header_data(self) -> dict[str, Any]:
            keywords: dict[str, Any] = super()._get_header_data()
            if keywords["instrument"] == "WFPC2":
                keywords["readnse"] /= keywords["atodgn"]
            return keywords

    return ImageInCounts


def apply_at_import() -> None:
    """What has to be in force before HAP's modules are imported, and what replaces their parts."""
    refuse_new_photutils(version("photutils"))
    supply_pdf_merger(sys.modules)
    from drizzlepac import drizCR
    from drizzlepac.haputils import catalog_utils, comparison_utils

    from hst_assets.imaging.sky_matching import let_skies_be_matched
    from hst_assets.imaging.wfpc2_gain import cosmic_rays_in_electrons

    let_skies_be_matched()
    search = drizCR._driz_cr  # noqa: SLF001
    if search.__module__ == drizCR.__name__:  # not mended yet
        drizCR._driz_cr = cosmic_rays_in_electrons(search)  # noqa: SLF001

    comparison_utils.extractMatchedLines = matched_lines
    if catalog_utils.CatalogImage.__module__ == catalog_utils.__name__:  # not mended yet
        catalog_utils.CatalogImage = read_noise_in_counts(catalog_utils.CatalogImage)


# ---------------------------------------------------------------------------- tests of quality


class Neighbours:
    """A tree of places that drizzlepac has mixed up: shape (2, n) taken for (n, 2).

    Parameters
    ----------
    mixed : ndarray
        Shape (n, 2), reshaped from (2, n).
    """

    def __init__(self, mixed: NDArray[Any]) -> None:
        from scipy.spatial import KDTree

        self._tree = KDTree(_in_pairs(mixed))

    def query(self, mixed: NDArray[Any], k: int) -> Any:
        """Distances to the `k` nearest places, and which they are, as of `scipy.spatial.KDTree`.

        Parameters
        ----------
        mixed : ndarray
            Shape (n, 2), reshaped from (2, n).
        k : int
            How many, the place itself included.
        """
        return self._tree.query(_in_pairs(mixed), k)


def _in_pairs(mixed: NDArray[Any]) -> NDArray[Any]:
    return mixed.reshape(2, -1).T


def mend_neighbours() -> None:
    """Let the test of how Gaia's stars are spread measure the distances of stars."""
    from drizzlepac.haputils import svm_quality_analysis

    svm_quality_analysis.KDTree = Neighbours


def mend_comparison() -> None:
    """Let the comparison with the Hubble Legacy Archive take its masks; after `apply_at_import`."""
    from drizzlepac.haputils import compare_sourcelists

    compare_sourcelists.extractMatchedLines = matched_lines


@contextmanager
def outages_noted() -> Iterator[list[str]]:
    """Note when the service of the catalogues of stars does not answer; after `apply_at_import`.

    Yields
    ------
    list of str
        A sentence for each question without an answer: no connection, or a status of 500 and
        above.
    """
    import requests
    from drizzlepac.haputils import astrometric_utils

    outages: list[str] = []

    class Noting:
        """``requests``, as far as drizzlepac asks it."""

        @staticmethod
        def get(url: str, **options: Any) -> requests.Response:
            try:
                answer = requests.get(url, timeout=_PATIENCE_S, **options)
            except requests.RequestException as error:
                outages.append(_no_answer(type(error).__name__, url))
                raise
            if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                outages.append(_no_answer(f"status {answer.status_code}", url))
            return answer

    astrometric_utils.requests = Noting
    try:
        yield outages
    finally:
        astrometric_utils.requests = requests


def _no_answer(what: str, url: str) -> str:
    return f"the star catalogue did not answer ({what} from {url.partition('?')[0]})"

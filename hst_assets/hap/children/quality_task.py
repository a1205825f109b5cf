"""The piece of HAP that measures the quality of its products, as JSON files.

It runs in a child process, in a folder with all products of the visit. Each test of
``svm_quality_analysis`` (drizzlepac 3.11) runs for itself, so that one that fails is told. The
eighth, with the Hubble Legacy Archive, is `hst_assets.hap.quality.hla_comparison`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from hst_assets.failures import TransientFailure
from hst_assets.hap.children import upstream_defects
from hst_assets.machine.failures import machine_failure

upstream_defects.apply_at_import()

from drizzlepac.haputils import poller_utils, svm_quality_analysis  # noqa: E402 - the line above comes first

from hst_assets.hap.objects import load  # noqa: E402

upstream_defects.mend_neighbours()

__all__ = ["TESTS", "assess"]

#: The tests, by the name of the argument that asks for them; they need catalogues, or Gaia.
TESTS = (
    "compare_num_sources",
    "find_gaia_sources",
    "compare_ra_dec_crossmatches",
    "characterize_gaia_distribution",
    "compare_photometry",
    "compare_interfilter_crossmatches",
    "report_wcs",
)


class _Complaints(logging.Handler):
    """Keeps what was raised inside a test, which drizzlepac logs and forgets."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.raised: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.raised.append(record.exc_info[1])


def assess(
    totals: dict[str, list[int]], log_level: int, *, awaits_answer: bool = False
) -> dict[str, Any]:
    """Run every test of quality.

    Parameters
    ----------
    totals : dict
        Number of each total product that has images, and which filters of it there are.
    log_level : int
        Of `logging`.
    awaits_answer : bool, optional
        A service that does not answer ends the piece, which is then tried again; if not, its tests
        are not checked.

    Returns
    -------
    dict
        Of each test what came of it: ``done``, ``not checked: why``.

    Raises
    ------
    TransientFailure
        If a service did not answer, and `awaits_answer`.
    MachineFailure
        If the machine failed.
    """
    products = []
    for number, filters in totals.items():
        total = load(f"drizzled{number}")
        total.fdp_list = [load(f"filter{number}_{index}") for index in filters]
        frame = total.generate_metawcs()
        for each in (total, *total.fdp_list, *total.edp_list):
            poller_utils.add_primary_fits_header_as_attr(each)
        for filtered in total.fdp_list:
            filtered.meta_wcs = frame
            for one in filtered.edp_list:
                poller_utils.add_primary_fits_header_as_attr(one)
            upstream_defects.name_exposures_for_quality(filtered.edp_list)
        upstream_defects.name_exposures_for_quality(total.edp_list)
        products.append(total)
    outcomes = {}
    for name in TESTS:
        with upstream_defects.outages_noted() as outages:
            outcomes[name] = _outcome(name, products, log_level)
        if outages:
            if awaits_answer:
                raise TransientFailure(
                    outages[0], where=name, next_step="Rerun when the service is back"
                )
            outcomes[name] = f"not checked: {outages[0]}"
    return outcomes


def _outcome(name: str, products: list[Any], log_level: int) -> str:
    before = set(Path().iterdir())
    complaints = _Complaints()
    svm_quality_analysis.log.addHandler(complaints)
    try:
        svm_quality_analysis.run_quality_analysis(
            products,
            # What a test raised is known from the log alone.
            log_level=min(log_level, complaints.level),
            run_compare_hla_sourcelists=False,
            **{f"run_{each}": each == name for each in TESTS},
        )
    finally:
        svm_quality_analysis.log.removeHandler(complaints)
    for error in complaints.raised:
        if (failure := machine_failure(error)) is not None:
            raise failure from error
    if complaints.raised:
        first = complaints.raised[0]
        return f"not checked: {type(first).__name__}: {first}"
    return "done" if set(Path().iterdir()) - before else "not checked: nothing to compare"

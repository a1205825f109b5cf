"""What runs in child processes: DOLPHOT on one list of artificial stars, looked at afterwards."""

from __future__ import annotations

import fcntl
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hst_assets.failures import UnusableInput
from hst_assets.photometry.catalog.artificial_stars import (
    StarsPutIn,
    read_artificial_stars,
    read_stars_put_in,
)
from hst_assets.photometry.catalog.bands import bands_of
from hst_assets.photometry.catalog.reading import catalog_columns
from hst_assets.photometry.dolphot.catalog_run import LIMITS
from hst_assets.photometry.dolphot.program_run import Limits, run_program
from hst_assets.photometry.dolphot.verdict import judge_artificial_stars

__all__ = ["measure_list"]

_OUTPUT = "artificial_stars.output"
#: DOLPHOT seeds the photon noise of artificial stars with the clock's second: lists that began in
#: one second would have the same noise. It looks at the clock a moment after it was started.
_APART_S = 2.0
#: By less the magnitudes put in differ from those of the list, in the median. They are printed to
#: 0.001, but with a correction for lost charge DOLPHOT finds a star's counts in three steps only.
_SAME_MAG = 0.01


def measure_list(
    program: str,
    catalog: str,
    stars: str,
    *,
    labels: Sequence[str],
    parameters: Mapping[str, str],
    measured: str,
    threads: int,
    time_s: float,
    silence_s: float,
    folder: str,
    last_start: str,
) -> int:
    """Measure a list of artificial stars.

    Parameters
    ----------
    program : str
        DOLPHOT.
    catalog : str
        Name of the catalogue in `folder`, with the files of its run beside it.
    stars : str
        Name of the list.
    labels : sequence of str
        Bands of its magnitudes, by name (`hst_assets.photometry.catalog.bands.bands_of`).
    parameters : mapping
        DOLPHOT's parameters of artificial stars.
    measured : str
        Name that the result gets.
    threads : int
        For DOLPHOT 3.
    time_s, silence_s : float
        Limits of the run, seconds.
    folder : str
        Where all of it lies.
    last_start : str
        File in which all lists of the catalogue leave when they started DOLPHOT: this one starts
        it two seconds after the last or later, so that its seed is its own.

    Returns
    -------
    int
        Stars of which DOLPHOT wrote a row, found or not.

    Raises
    ------
    UnusableInput
        If the result is damaged, or a star was put in with the magnitude of another filter.
    HstAssetsError
        As `hst_assets.photometry.dolphot.verdict.judge_artificial_stars`.
    """
    _wait_for_own_second(Path(last_start))
    here = Path(folder)
    ended = run_program(
        Path(program),
        [
            catalog,
            f"-p{catalog}.param",
            f"FakeStars={stars}",
            *(f"{name}={value}" for name, value in parameters.items()),
        ],
        folder=here,
        output=here / _OUTPUT,
        limits=Limits(time_s, silence_s),
        threads=threads,
        listen=_into_log,
    )
    result = here / f"{catalog}.fake"
    judge_artificial_stars(ended, result, limits=LIMITS)
    put_in = read_stars_put_in(here / stars, labels)
    n_rows = _looked_at(result, here / catalog, put_in)
    result.replace(here / measured)
    return n_rows


def _wait_for_own_second(last_start: Path) -> None:
    """Return when no other list can have the seed of a DOLPHOT that is started now."""
    with last_start.open("a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.seek(0)
        last = held.read().strip()
        # A clock that was set back would have it wait for hours.
        late = min(_APART_S, float(last) + _APART_S - time.time()) if last else 0.0
        time.sleep(max(0.0, late))
        held.truncate(0)
        held.write(f"{time.time():.3f}")


def _into_log(text: str) -> None:
    """Standard output of a child is the log of its call."""
    sys.stdout.write(text)
    sys.stdout.flush()


def _looked_at(result: Path, catalog: Path, put_in: StarsPutIn) -> int:
    """Count the rows; raise if they are not of this list."""
    columns = catalog_columns(catalog)
    found = read_artificial_stars(result, columns=columns)
    row_of = found.found_of(put_in)
    written = row_of >= 0
    if not written.any():
        return 0
    for band in bands_of(columns):
        wanted = put_in.brightness[written, put_in.labels.index(band.name)]
        for image in band.images:
            given = found.magnitudes[row_of[written], image.number - 1]
            if not np.median(abs(given - wanted)) < _SAME_MAG:
                raise UnusableInput(
                    f"DOLPHOT took the magnitudes of another filter for {band.name}",
                    where=result.name,
                    next_step="Set dolphot.root to the folder that DOLPHOT was built in: its "
                    "filters.dat has their order",
                )
    return int(written.sum())

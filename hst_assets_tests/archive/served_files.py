"""Files that a service on this machine holds, and how one of them is fetched."""

import itertools

from hst_assets.archive.download import fetch
from hst_assets.archive.holdings import Product
from hst_assets.failures import (
    AccessRefused,
    NothingFound,
    TransientFailure,
    UnusableInput,
)
from hst_assets.settings import ArchiveSettings
from hst_assets_tests.stand_ins.tiny_fits import tiny_fits

SECRET = "good"
ROOTS = [f"jtest0{number:02}q" for number in range(1, 9)]
CONTENTS = {f"{root}_flc.fits": tiny_fits(root, checksum=True) for root in ROOTS}
NAME = f"{ROOTS[0]}_flc.fits"
CONTENT = CONTENTS[NAME]
RELEASED_AGAIN = tiny_fits(ROOTS[0], seed=7, checksum=True)
#: A tail that a cut leaves to be fetched, and a fault in it.
CUT = 30_000


def product(root=ROOTS[0], **changes):
    name = f"{root}_flc.fits"
    described = {
        "visit": root[:6], "rootname": root, "suffix": "flc", "uri": f"mast:HST/product/{name}",
        "size": len(CONTENTS[name]), "data_rights": "PUBLIC", "release_mjd": 50000.0,
        "detector_key": "acs_wfc", "filter": "F606W", "mjd_start": 49000.0, "exptime_s": 500.0,
        "proposal": "12345", "ra_deg": 150.1, "dec_deg": 2.2,
    }  # fmt: skip
    return Product(**{**described, **changes})


def settings(files, **changes):
    faults = "+".join([*files.always.values(), *itertools.chain(*files.faults.values())])
    is_silent = any(word in faults for word in ("silence", "stall", "drip"))
    quick = {"first_wait_s": 0.01, "timeout_s": 0.3 if is_silent else 5.0, "max_tries": 3}
    return ArchiveSettings(mast_url=files.url, s3_url=files.url, **{**quick, **changes})


def bring(files, folder, wanted=None, *, token=None, n_workers=1, **changes):
    """Fetch one product."""
    [answer] = fetch(
        [wanted or product()], folder, settings(files, **changes), token=token, n_workers=n_workers
    )
    return answer


def left_in(folder):
    """The files in the folder, but for receipts and locks."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


#: Those that last, with the failure they end in.
LASTING = {
    "503": TransientFailure, "silence": TransientFailure, "stall:100": TransientFailure,
    "reset:100": TransientFailure, "truncate:100": TransientFailure, "drip": TransientFailure,
    "no_length+truncate:4000": TransientFailure,
    "401": AccessRefused, "403": AccessRefused, "404": NothingFound, "410": NothingFound,
    "short": UnusableInput, "oversize": UnusableInput, "wrong_bytes": UnusableInput,
    "zeroed": UnusableInput, "html": TransientFailure, "html_full": UnusableInput,
    f"other:{ROOTS[1]}_flc.fits": UnusableInput, "redirect:http://[": UnusableInput,
}  # fmt: skip

"""A file that a service on this machine holds, and its transfer."""

import pytest

from hst_assets.failures import TransientFailure
from hst_assets.transfer import transfer

NAME = "jtest001q_flc.fits"
# No two stretches of it are alike.
CONTENT = b"".join(number.to_bytes(4) for number in range(75_000))
NEW = CONTENT[150_000:] + CONTENT[:150_000]
CUT = 200_000


def bring(files, part, **options):
    options = {"timeout_s": 5.0, **options}
    return transfer(files.mast_url(NAME), part, **options)


def cut(files, part, fault="truncate", **options):
    """Let a transfer break off after CUT bytes."""
    files.faults[NAME] = [f"{fault}:{CUT}"]
    with pytest.raises(TransientFailure):
        bring(files, part, **options)
    assert part.stat().st_size == CUT


def ranges(files):
    return [request.range for request in files.requests]

"""One URL into one file: resumable, in several tries, with failures by kind.

Messages name addresses without user, fragment or query, save the parameters that name a file.
Failures carry no trace of requests' own errors, which hold the request and its headers.
"""

from hst_assets.transfer.answers import MOST_REPLY_BYTES, may_pass, seconds_asked, shown
from hst_assets.transfer.halt import Halt
from hst_assets.transfer.into_file import SLOWEST_BYTES_PER_S, Transferred, discard, transfer
from hst_assets.transfer.requests import Announced, announced
from hst_assets.transfer.tries import in_tries

__all__ = [
    "MOST_REPLY_BYTES",
    "SLOWEST_BYTES_PER_S",
    "Announced",
    "Halt",
    "Transferred",
    "announced",
    "discard",
    "in_tries",
    "may_pass",
    "seconds_asked",
    "shown",
    "transfer",
]

"""What an answer says of lengths, and how addresses are shown."""

from types import SimpleNamespace

import pytest

from hst_assets.transfer import shown
from hst_assets.transfer.answers import length_of, seconds_asked


def test_a_number_of_too_many_digits_is_no_length():
    many = "9" * 5000
    reply = SimpleNamespace(headers={"Content-Length": many})
    assert length_of(reply) is None
    reply.headers["Content-Length"] = str(2**63)
    assert length_of(reply) == 2**63
    assert seconds_asked("nan") is None


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://me:mine@h.org:8443/p/x.fits?X-Amz-Signature=S#f", "https://h.org:8443/p/x.fits"),
        ("https://h.org/d?uri=mast:HST/product/x.fits&token=S", "https://h.org/d?uri=mast:HST/product/x.fits"),
        ("http://[::1]:80/x", "http://::1:80/x"),
        ("http://[::1/x", "an invalid address"),
    ],
)  # fmt: skip
def test_addresses_are_shown_without_secrets(url, text):
    assert shown(url) == text

"""The faults of archive_faults.py, and what is expected of files that meet them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hst_assets.archive.holdings import Product

WHOLE = ("whole",)
TRANSIENT = ("TransientFailure",)
UNUSABLE = ("UnusableInput",)
REFUSED = ("AccessRefused",)
MISSING = ("NothingFound",)


def _as_it_is(product: Product, _elsewhere: str) -> Product:
    return product


@dataclass(frozen=True)
class Fault:
    """One way in which a service fails.

    Attributes
    ----------
    name : str
        For people.
    passing : tuple of str
        Faults of the first requests of a file, in the words of the stand-in's file service; OTHER
        is the address of another host.
    staying : str
        The fault of every request; empty if there is no such variant.
    when_it_passes, when_it_stays : tuple of str
        What may become of a file: whole, or the class of the failure.
    listed_as : callable
        What the product list says in place of the truth; takes a folder elsewhere as well.
    unresolved : bool
        The name of the host is not found.
    """

    name: str
    passing: tuple[str, ...] = ()
    staying: str = ""
    when_it_passes: tuple[str, ...] = WHOLE
    when_it_stays: tuple[str, ...] = TRANSIENT
    listed_as: Callable[[Product, str], Product] = _as_it_is
    unresolved: bool = False


def _longer(product: Product, _elsewhere: str) -> Product:
    return replace(product, size=(product.size or 0) + 2880)


def _shorter(product: Product, _elsewhere: str) -> Product:
    return replace(product, size=(product.size or 0) - 2880)


def _climbing_name(product: Product, _elsewhere: str) -> Product:
    return replace(product, rootname=f"../../../../{product.rootname}")


def _absolute_name(product: Product, elsewhere: str) -> Product:
    return replace(product, rootname=f"{elsewhere}/{product.rootname}")


def _climbing_uri(product: Product, _elsewhere: str) -> Product:
    return replace(product, uri=f"mast:HST/product/../../{product.name}")


FAULTS = (
    Fault("503, a burst", ("503", "503"), "503"),
    Fault("429 with Retry-After", ("429:1",), "429:0"),
    Fault("silence", ("silence",), "silence"),
    Fault("stall in mid-body", ("stall",), "stall:2000"),
    Fault("slow drip", ("drip:20",), "drip:20"),
    Fault("reset in mid-body", ("reset", "reset"), "reset:2000"),
    Fault("truncated", ("truncate", "truncate"), "truncate:2000"),
    Fault("short, as announced", ("short",), "short", when_it_stays=UNUSABLE),
    Fault("right size, one byte wrong", ("wrong_bytes",), "wrong_bytes", when_it_stays=UNUSABLE),
    Fault("right size, a block zeroed", ("zeroed",), "zeroed", when_it_stays=UNUSABLE),
    Fault("right size, another exposure", ("other:other",), "other:other", when_it_stays=UNUSABLE),
    Fault("Range ignored", ("reset", "ignore_range"), "ignore_range", when_it_stays=WHOLE),
    Fault("another range than asked for", ("reset", "wrong_range"), "", when_it_stays=WHOLE),
    Fault("no ETag", ("no_etag+reset", "no_etag"), "no_etag", when_it_stays=WHOLE),
    Fault(
        "no ETag, no date",
        ("no_etag+no_modified+reset",),
        "no_etag+no_modified",
        when_it_stays=WHOLE,
    ),
    Fault("oversize junk", ("oversize",), "oversize", when_it_stays=UNUSABLE),
    Fault("HTML with status 200", ("html",), "html"),
    Fault("HTML, filled up to the size", ("html_full",), "html_full", when_it_stays=UNUSABLE),
    Fault("no Content-Length, cut once", ("no_length+truncate",), "no_length", when_it_stays=WHOLE),
    Fault("no Content-Length, truncated", ("no_length+truncate",), "no_length+truncate:2000"),
    Fault("content changes between cut and resume", ("reset", "change"), "change+reset:2000"),
    Fault(
        "the same without ETag and date",
        ("no_etag+no_modified+reset", "change+no_etag+no_modified"),
        "change+no_etag+no_modified+reset:2000",
    ),
    Fault("401", ("401",), "401", when_it_passes=REFUSED, when_it_stays=REFUSED),
    Fault("403", ("403",), "403", when_it_passes=REFUSED, when_it_stays=REFUSED),
    Fault("404", ("404",), "404", when_it_passes=MISSING, when_it_stays=MISSING),
    Fault("redirect to another host", ("redirect:OTHER",), "redirect:OTHER", when_it_stays=WHOLE),
    Fault("DNS failure", unresolved=True),
    # A list that is wrong for the whole of an attempt, and right at the next.
    Fault("size in the list too large", listed_as=_longer, when_it_passes=WHOLE),
    Fault("size in the list too small", listed_as=_shorter, when_it_passes=WHOLE),
    Fault("name with ../", listed_as=_climbing_name, when_it_passes=UNUSABLE),
    Fault("name with /", listed_as=_absolute_name, when_it_passes=UNUSABLE),
    Fault("URI with ../", listed_as=_climbing_uri, when_it_passes=WHOLE),
)

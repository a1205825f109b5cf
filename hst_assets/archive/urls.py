"""The addresses under which a product can be had: MAST, and the open-data copy on S3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from hst_assets.archive.holdings import Product
from hst_assets.settings import ArchiveSettings

__all__ = ["Route", "RouteName", "route_of", "routes_of"]

RouteName = Literal["mast", "s3"]


@dataclass(frozen=True)
class Route:
    """One way to a file.

    Attributes
    ----------
    name : str
        ``"mast"`` or ``"s3"``. Their validators (ETag) differ for the same bytes.
    url : str
        Where a GET brings it.
    """

    name: RouteName
    url: str


def route_of(product: Product, name: RouteName, settings: ArchiveSettings) -> Route:
    """The way to a product by one service.

    Parameters
    ----------
    product : Product
        The file.
    name : str
        ``"mast"`` or ``"s3"``.
    settings : ArchiveSettings
        Addresses of the services.
    """
    if name == "s3":
        root = product.rootname
        key = f"hst/public/{root[:4]}/{root}/{product.name}"
        return Route("s3", f"{settings.s3_url.rstrip('/')}/{quote(key)}")
    query = f"uri={quote(product.uri, safe=':/')}"
    return Route("mast", f"{settings.mast_url.rstrip('/')}/api/v0.1/Download/file?{query}")


def routes_of(product: Product, settings: ArchiveSettings) -> tuple[Route, ...]:
    """The ways to a product, the preferred one first."""
    names: tuple[RouteName, ...] = (
        ("s3", "mast") if settings.s3 and product.is_public else ("mast",)
    )
    return tuple(route_of(product, name, settings) for name in names)

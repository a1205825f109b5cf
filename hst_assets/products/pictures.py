"""Pictures inside a page."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from hst_assets.products.web_page import data_uri

__all__ = ["Picture", "embedded_picture"]

#: A colour picture of 1600 pixels is 2-5 MB as PNG, 0.4-1 MB as JPEG of this quality.
_QUALITY = 88
_MOST_BYTES_AS_IS = 400_000


@dataclass(frozen=True)
class Picture:
    """A picture by its address, and what is said of it."""

    uri: str
    caption: str


def embedded_picture(path: Path) -> str:
    """The address of a picture that holds it; a large PNG becomes JPEG.

    Raises
    ------
    OSError
        If it cannot be read as a picture.
    """
    from PIL import Image

    with Image.open(path) as picture:
        if path.stat().st_size <= _MOST_BYTES_AS_IS and picture.format == "PNG":
            return data_uri(path.read_bytes())
        buffer = io.BytesIO()
        picture.convert("RGB").save(buffer, format="JPEG", quality=_QUALITY)
    return data_uri(buffer.getvalue(), "image/jpeg")

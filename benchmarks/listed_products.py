"""Files as a listing of the archive has them, for benchmarks that fetch what they made."""

from __future__ import annotations

from hst_assets.archive.holdings import Product


def listed_product(rootname: str, size: int) -> Product:
    """A public WFC3/IR exposure of `size` bytes."""
    return Product(
        visit=rootname[:6],
        rootname=rootname,
        suffix="flt",
        uri=f"mast:HST/product/{rootname}_flt.fits",
        size=size,
        data_rights="PUBLIC",
        release_mjd=59001.0,
        detector_key="wfc3_ir",
        filter="F160W",
        mjd_start=59000.0,
        exptime_s=400.0,
        proposal="12345",
        ra_deg=150.0,
        dec_deg=2.0,
    )

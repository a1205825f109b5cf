"""A small archive on loopback, its listing, and a work directory that is fed from it."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import replace

from astropy.io import fits

from hst_assets.archive.holdings import Listing, Product
from hst_assets.archive.sync import sync_visit
from hst_assets.exposures.ingest import ingest
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.stand_ins.file_service import FileService
from hst_assets_tests.stand_ins.tiny_exposures import tiny_exposure

RA, DEC = 150.1, 2.2
SIDE_PIX = 40


class SmallArchive:
    """Exposures by rootname, served, and listed as the archive would list them."""

    def __init__(self, folder):
        self.files = FileService()
        self.workdir = WorkDir(folder / "root", "field")
        self.folder = folder
        self.products = {}
        self.archive_settings = {}

    @contextmanager
    def running(self):
        with self.files.running():
            yield self

    def add(
        self,
        rootname,
        key="acs_hrc",
        *,
        salt=0,
        side_pix=SIDE_PIX,
        release=59000.0,
        rights="PUBLIC",
    ):
        """Hold an exposure, or another version of it; return the names of its files."""
        content = tiny_exposure(rootname, key, RA, DEC, salt=salt, side_pix=side_pix)
        for name, data in content.items():
            self.hold(name, data, key=key, release=release, rights=rights)
        return sorted(content)

    def hold(self, name, data, *, key="acs_hrc", release=59000.0, rights="PUBLIC", listed=True):
        """Hold bytes under a name; with `listed` the listing knows them."""
        was = self.files.files.get(name)
        modified = was.modified + 100 if was else 1.7e9
        self.files.hold(name, data, rights=rights, modified=modified)
        if listed:
            self.products[name] = product(name, len(data), key, release, rights)

    def content(self, name):
        return self.files.files[name].read()

    def change(self, name, **fields):
        """Let the listing say something else of a file."""
        self.products[name] = replace(self.products[name], **fields)

    def listing(self):
        return Listing("a question", 60000.0, tuple(sorted(self.products.values())))

    def settings(self):
        return Settings.model_validate(
            {
                "target": {"ra_deg": RA, "dec_deg": DEC},
                "archive": {
                    "query": True,
                    "mast_url": self.files.url,
                    "s3_url": self.files.url,
                    "first_wait_s": 0.01,
                    "max_tries": 2,
                    "timeout_s": 5.0,
                    **self.archive_settings,
                },
            }
        )

    def sync_visit(self, visit="jddd04", **options):
        return sync_visit(
            self.workdir, visit, self.settings(), **{"listing": self.listing(), **options}
        )

    def asked(self, method="GET"):
        """Names that were asked for, in order; and forget them."""
        names = [request.name for request in self.files.requests if request.method == method]
        self.files.requests[:] = [
            request for request in self.files.requests if request.method != method
        ]
        return names

    def in_raw(self):
        return {path.name: path.read_bytes() for path in self.workdir.raw.glob("*.fits")}

    def as_served(self, *names):
        return {name: self.content(name) for name in names or self.products}


def product(name, size, key, release, rights):
    rootname, suffix = name.removesuffix(".fits").split("_")
    return Product(
        visit=rootname[:6],
        rootname=rootname,
        suffix=suffix,
        uri=f"mast:HST/product/{name}",
        size=size,
        data_rights=rights,
        release_mjd=release,
        detector_key=key,
        filter="F606W",
        mjd_start=59000.25,
        exptime_s=400.0,
        proposal="12345",
        ra_deg=RA,
        dec_deg=DEC,
    )


def failures(delivery):
    """What failed by name: the failure's class."""
    return {each.product.name: type(each.failure).__name__ for each in delivery.failed}


def delivered_names(delivery):
    return sorted(fetched.path.name for fetched in delivery.fetched)


def unchanged_names(delivery):
    return sorted(product.name for product in delivery.unchanged)


def blank(content):
    """An exposure that is whole as FITS, and has no counts in it."""
    with fits.open(io.BytesIO(content)) as hdus:
        hdus["SCI", 1].data[:] = 0
        out = io.BytesIO()
        hdus.writeto(out)
    return out.getvalue()


def by_hand(archive, rootname, **version):
    """Ingest another version of an exposure than the archive lists."""
    other = SmallArchive(archive.folder)
    (name,) = other.add(rootname, **version)
    path = archive.folder / name
    path.write_bytes(other.content(name))
    ingest([path], archive.workdir, ra_deg=150.1, dec_deg=2.2)
    return other.content(name)


def left_in_staging(archive):
    return sorted(path.name for path in archive.workdir.staging.rglob("*"))

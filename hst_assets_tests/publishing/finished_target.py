"""A target with a few small products, made by recipe."""

from __future__ import annotations

from pathlib import Path

from hst_assets.exposures.raw import RawFile, write_ledger
from hst_assets.provenance import Made, Recipe, Result, make, sha256_of_file
from hst_assets.settings import Settings, load_settings, write_settings
from hst_assets.workdir import WorkDir, write_atomically

VISIT = "iaaa01"
STACKS = ("wfc3_uvis.f606w.all.drc.fits", "wfc3_uvis.f814w.all.drc.fits")


class FinishedTarget:
    """Products as text files; `make_…` makes one again, from another version if told."""

    def __init__(self, root: Path, name: str = "sn1", destination: str = "") -> None:
        self.workdir = WorkDir(root, name).create()
        write_settings(self.workdir, {"target": {"ra_deg": 10.0, "dec_deg": 20.0}})
        if destination:
            write_settings(self.workdir, {"publish": {"destination": destination}})
        self._raw_file()
        self.make("target_exposures", self.workdir.target_exposures)
        self.make_stacks()
        self.make("target_report", self.workdir.report)
        self.make("hap_page", self.workdir.hap_page(VISIT))

    @property
    def settings(self) -> Settings:
        return load_settings(self.workdir)

    def make(self, stage: str, path: Path, *, version: str = "1", others: tuple[Path, ...] = ()):
        """A product of one file that says what it is, with others that are there."""

        def run() -> Result:
            with write_atomically(path) as part:
                part.write_text(f"{self.workdir.target}: {stage}, version {version}\n")
            return Result((path, *others))

        return make(Recipe(stage, version), path, self.workdir, run, redo=True)

    def make_stacks(self, names=STACKS, *, version: str = "1", content: bytes = b"") -> Made:
        """Stacks with records of their own, and their index."""
        paths = []
        for name in names:
            path = self.workdir.drizzle / name
            self._stack(path, version, content)
            paths.append(path)
        index = self.workdir.stack_products
        return self.make("drizzled_stacks", index, version=version, others=tuple(paths))

    def _stack(self, path: Path, version: str, content: bytes) -> None:
        def run() -> Result:
            with write_atomically(path) as part:
                part.write_bytes(content or f"{path.name} of {version}\n".encode())
            return Result((path,))

        make(Recipe("drizzled_image", version, {"of": path.name}), path, self.workdir, run)

    def _raw_file(self) -> None:
        path = self.workdir.raw / f"{VISIT}a0q_flc.fits"
        path.write_text("pixels")
        status = path.stat()
        row = RawFile(
            name=path.name,
            rootname=f"{VISIT}a0q",
            visit=VISIT,
            suffix="flc",
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            sha256=sha256_of_file(path),
        )
        write_ledger(self.workdir, [row])

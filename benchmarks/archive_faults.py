"""Faults of an archive, and what becomes of the files: ours and stock astroquery.

    python benchmarks/archive_faults.py [--only WORD] [--no-stock] [--cells cells.jsonl]

A stand-in of MAST on loopback serves small FITS files. Each fault either passes after a few
requests or stays; meets a fresh folder or one in which an earlier attempt was cut in mid-file; and
is met by 1 and by 8 workers. Half of the files of a cell have the fault, the others none. Then the
fault is taken away and the same files are asked for again.

Each file of each attempt is one of: whole (bytes equal the truth), refused (an error that names it,
and no file), broken (an error, and a file under the final name that is not right), corrupt (called
good, and is not), lost (not right, and no word of it). Of all requests, messages, logs and files it
is looked whether the token went to another host or was shown; and whether anything was written
outside the folder.

The peer is `Observations.download_products` (see stock_downloads.py): one call with the list, and
eight threads with a call a file, which share one client.

Exits with an error if a file of ours was lost, broken or corrupt, was not what the fault's row
expects, or was not whole after the fault had gone; or on stray files or a token that was shown.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fault_list import FAULTS, Fault
from listed_products import listed_product
from stock_downloads import ABORTED, UNRESOLVED, StockAstroquery, final_path, lookups_that_fail

from hst_assets.archive.credentials import Token
from hst_assets.archive.download import Fetched, fetch
from hst_assets.archive.holdings import Product
from hst_assets.settings import ArchiveSettings
from hst_assets_tests.stand_ins.file_service import FileService
from hst_assets_tests.stand_ins.loopback_server import LoopbackHandler, LoopbackServer
from hst_assets_tests.stand_ins.tiny_fits import tiny_fits

SECRET = "token-that-nobody-may-see"
#: Fits all of ours: four tries of half a second.
PATIENCE = {"timeout_s": 0.5, "max_tries": 4, "first_wait_s": 0.02}
#: Where the earlier attempt was cut; the files have 60,480 bytes.
CUT_BYTES = 25_000
#: astroquery has no timeout of its own: it is killed after this.
STOCK_DEADLINE_S = 4.0
OURS = {"ours, 1 worker": 1, "ours, 8 workers": 8}
STOCK = {"astroquery, list": "list", "astroquery, 8 threads": "shared"}
BAD = ("broken", "corrupt", "lost")


@dataclass
class Cell:
    """One fault, met in one way by one client; the fates of its files."""

    fault: Fault
    stays: bool
    resumed: bool
    client: str
    faulty: Counter = field(default_factory=Counter)
    sound: Counter = field(default_factory=Counter)
    afterwards: Counter = field(default_factory=Counter)
    stray: list[str] = field(default_factory=list)
    token_seen: list[str] = field(default_factory=list)
    hung: bool = False
    seconds: float = 0.0

    @property
    def complaints(self) -> list[str]:
        """What is wrong with it, as ours must be."""
        wanted = self.fault.when_it_stays if self.stays else self.fault.when_it_passes
        found = [f"{fate}, not {'/'.join(wanted)}" for fate in self.faulty if fate not in wanted]
        found += [f"a sound file: {fate}" for fate in self.sound if fate != "whole"]
        found += [f"afterwards: {fate}" for fate in self.afterwards if fate != "whole"]
        return found + [f"stray {path}" for path in self.stray] + self.token_seen

    def __str__(self) -> str:
        when = "stays" if self.stays else "passes"
        return f"{self.fault.name}, {when}, {'resumed' if self.resumed else 'fresh'}, {self.client}"


class Bench:
    """The stand-in, the truth, and one folder a cell."""

    def __init__(
        self, folder: Path, files: FileService, other: FileService, stock: StockAstroquery
    ) -> None:
        self.folder, self.files, self.other, self.stock = folder, files, other, stock
        self.said: list[str] = []
        self._number = 0

    def run(self, fault: Fault, *, stays: bool, resumed: bool, client: str) -> Cell:
        """One cell."""
        started = time.monotonic()
        cell = Cell(fault, stays, resumed, client)
        products = self._hold(8 if client in ("ours, 8 workers", "astroquery, 8 threads") else 4)
        faulty = products[::2]
        self._number += 1
        # Deep, so that a name that climbs out of it is found below `top`.
        top = self.folder / f"cell{self._number}"
        folder = top / "1" / "2" / "3" / "4" / "asked"
        folder.mkdir(parents=True)
        if resumed:
            self._interrupted(products, folder, client)
        self._set_faults(fault, faulty, stays)
        elsewhere = str(top / "elsewhere")
        asked = [fault.listed_as(p, elsewhere) if p in faulty else p for p in products]
        lookups = 0 if not fault.unresolved else 10**6 if stays else 2
        fates, cell.hung = self._attempt(asked, folder, client, lookups)
        cell.faulty.update(fates if fault.unresolved else fates[::2])
        cell.sound.update([] if fault.unresolved else fates[1::2])
        self._set_faults(None, faulty, stays)
        afterwards, _ = self._attempt(products, folder, client)
        cell.afterwards.update(afterwards)
        self._look_around(cell, top, folder)
        shutil.rmtree(top)
        cell.seconds = time.monotonic() - started
        return cell

    def _hold(self, count: int) -> list[Product]:
        self.files.files.clear()
        self.files.next_versions.clear()
        self.files.requests.clear()
        self.other.requests.clear()
        self.said.clear()
        products = []
        for number in range(count):
            rootname = f"iflt01{chr(97 + number)}0q"
            content = _content(rootname, 1)
            product = listed_product(rootname, len(content))
            newer = [_content(rootname, seed) for seed in (2, 3)]
            for service in (self.files, self.other):
                service.hold(product.name, content)
            self.files.next_versions[product.name] = newer
            products.append(product)
        # The right size and structure, and good sums, but of another exposure.
        self.files.hold("other", _content("iflt99z0q", 9))
        return products

    def _set_faults(self, fault: Fault | None, faulty: list[Product], stays: bool) -> None:
        self.files.faults, self.files.always = {}, {}
        for product in faulty if fault else ():
            words = [word.replace("OTHER", self._other_host()) for word in fault.passing]
            self.files.faults[product.name] = words
            if fault.staying and (stays or not words):
                self.files.always[product.name] = fault.staying.replace("OTHER", self._other_host())

    def _other_host(self) -> str:
        return self.other.url.replace("127.0.0.1", "localhost")

    def _truth(self, product: Product) -> list[bytes]:
        newer = self.files.next_versions[product.name]
        rootname = product.rootname
        versions = [_content(rootname, s) for s in range(1, 4 - len(newer))]
        return [self.files.files[product.name].read(), *versions]

    def _interrupted(self, products: list[Product], folder: Path, client: str) -> None:
        """An earlier attempt, cut in the middle of every file."""
        self.files.always = {product.name: f"truncate:{CUT_BYTES}" for product in products}
        if client in OURS:
            self._ours(products, folder, client, 0, max_tries=1)
            assert all((folder / f"{product.name}.part").is_file() for product in products)
        else:
            # A call a file: in a list, the first exception would leave the others untouched.
            self.stock.download(products, folder, mode="shared")
            assert all(final_path(p, folder).is_file() for p in products)

    def _attempt(
        self, products: list[Product], folder: Path, client: str, failed_lookups: int = 0
    ) -> tuple[list[str], bool]:
        attempt = self._ours if client in OURS else self._stock
        return attempt(products, folder, client, failed_lookups)

    def _address(self, failed_lookups: int) -> str:
        host = UNRESOLVED if failed_lookups else "127.0.0.1"
        return self.files.url.replace("127.0.0.1", host)

    def _ours(self, products, folder, client, failed_lookups, **patience) -> tuple[list[str], bool]:
        settings = ArchiveSettings(
            mast_url=self._address(failed_lookups), **{**PATIENCE, **patience}
        )
        with lookups_that_fail(failed_lookups):
            answers = fetch(products, folder, settings, token=Token(SECRET), n_workers=OURS[client])
        self.said += [repr(answer) + str(getattr(answer, "failure", "")) for answer in answers]
        return [
            self._fate(
                product, folder / product.name, None if isinstance(answer, Fetched) else answer
            )
            for product, answer in zip(products, answers, strict=True)
        ], False

    def _fate(self, product: Product, path: Path, refusal) -> str:
        if path.is_file():
            is_right = path.read_bytes() in self._truth(self._held(product))
            if refusal is None:
                return "whole" if is_right else "corrupt"
            return "unclear" if is_right else "broken"
        if refusal is None:
            return "lost"
        return type(refusal.failure).__name__ if refusal.failure.what else "unclear"

    def _held(self, product: Product) -> Product:
        """The product whose bytes this one means, whatever was made of its name."""
        rootname = product.rootname.rpartition("/")[2]
        return replace(product, rootname=rootname)

    def _stock(self, products, folder, client, failed_lookups) -> tuple[list[str], bool]:
        outcome = self.stock.download(
            products,
            folder,
            mode=STOCK[client],
            deadline_s=STOCK_DEADLINE_S,
            token=SECRET,
            base_url=self._address(failed_lookups),
            failed_lookups=failed_lookups,
        )
        self.said.append(repr(outcome))
        told = dict(outcome.said)
        aborted = told.pop(ABORTED, None)
        fates = []
        for product in products:
            name = Path(product.name).name
            path = final_path(product, folder)
            said = told.get(name)
            fate = self._stock_fate(product, path, said)
            if aborted and fate == "lost":
                # The exception is about the first that is not whole; those after it are lost.
                fate = "broken" if path.is_file() else aborted
                aborted = None
            fates.append(fate)
        return fates, outcome.hung

    def _stock_fate(self, product: Product, path: Path, said: str | None) -> str:
        if not path.is_file():
            return said if said and said != "COMPLETE" else "lost"
        if path.read_bytes() in self._truth(self._held(product)):
            return "whole"
        if said is None:
            return "lost"
        return "corrupt" if said == "COMPLETE" else "broken"

    def _look_around(self, cell: Cell, top: Path, folder: Path) -> None:
        around = [*top.rglob("*iflt01*"), *top.parent.glob("*iflt01*")]
        cell.stray += [str(path) for path in around if not path.is_relative_to(folder)]
        for path in folder.rglob("*"):
            if path.is_file() and SECRET.encode() in path.read_bytes():
                cell.token_seen.append(f"the token is in {path.name}")
        if any(SECRET in text for text in self.said):
            cell.token_seen.append("the token is in a message, a log or a representation")
        if any(SECRET in r.path for r in self.files.requests):
            cell.token_seen.append("the token is in an address")
        if any(SECRET in str(request.headers) for request in self.other.requests):
            cell.token_seen.append("the token went to another host")


class _Memory(logging.Handler):
    """Keeps what any logger says, debugging included."""

    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())


@functools.cache
def _content(rootname: str, seed: int) -> bytes:
    return tiny_fits(rootname, seed=seed, checksum=True)


def _mast(files: FileService):
    """The address of files, and of who the token belongs to, as astroquery asks at login."""

    class Handler(LoopbackHandler):
        def do_GET(self):  # noqa: N802
            if self.path == "/whoami":
                body = json.dumps({"anon": False, "attrib": {"display_name": "User"}}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            elif not files.answer(self):
                self.send_error(404)

        do_HEAD = do_GET  # noqa: N815

    return LoopbackServer(Handler)


def main() -> int:
    options = _options()
    faults = [fault for fault in FAULTS if options.only in fault.name]
    clients = [*OURS, *([] if options.no_stock else STOCK)]
    folder = Path(tempfile.mkdtemp(prefix="archive-faults-"))
    started = time.monotonic()
    with ExitStack() as stack:
        files, other = FileService(), FileService()
        stack.enter_context(other.running())
        files.url = stack.enter_context(_mast(files).running()).url
        stack.callback(files.released.set)
        stock = stack.enter_context(StockAstroquery(files.url, folder / "xdg"))
        bench = Bench(folder, files, other, stock)
        _listen(bench)
        cells = [
            bench.run(fault, stays=stays, resumed=resumed, client=client)
            for fault in faults
            for stays in (False, True)
            if fault.staying or fault.unresolved or not stays
            for resumed in (False, True)
            for client in clients
        ]
    shutil.rmtree(folder)
    if options.cells:
        options.cells.write_text("".join(json.dumps(_as_row(cell)) + "\n" for cell in cells))
    return _report(cells, faults, time.monotonic() - started)


def _listen(bench: Bench) -> None:
    root = logging.getLogger()
    root.setLevel(logging.DEBUG)
    root.addHandler(_Memory(bench.said))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="faults with this in their names")
    parser.add_argument("--no-stock", action="store_true", help="ours alone")
    parser.add_argument("--cells", type=Path, help="write every cell into this file")
    return parser.parse_args()


def _as_row(cell: Cell) -> dict:
    return {
        "cell": str(cell),
        "faulty": dict(cell.faulty),
        "sound": dict(cell.sound),
        "afterwards": dict(cell.afterwards),
        "hung": cell.hung,
        "seconds": round(cell.seconds, 2),
        "stray": cell.stray,
        "token": cell.token_seen,
    }


def _report(cells: list[Cell], faults: list[Fault], duration_s: float) -> int:
    ours = [cell for cell in cells if cell.client in OURS]
    peers = [cell for cell in cells if cell.client not in OURS]
    for label, group in (("ours", ours), ("stock astroquery", peers)):
        if group:
            print(f"\n{label}: files with the fault | sound files beside them | afterwards\n")
            print("| fault | it passes | it stays | beside | afterwards |")
            print("| --- | --- | --- | --- | --- |")
            for fault in faults:
                print(_line(fault, [cell for cell in group if cell.fault is fault]))
    print(
        "\n| | files asked for | whole | refused | broken | corrupt | lost | afterwards wrong |"
        " stray | token shown |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for client in dict.fromkeys(cell.client for cell in cells):
        print(_totals(client, [cell for cell in cells if cell.client == client]))
    wrong = [cell for cell in ours if cell.complaints]
    for cell in wrong:
        print(f"WRONG {cell}: {'; '.join(cell.complaints)}")
    print(f"{len(ours) - len(wrong)} of {len(ours)} cells as they should be; {duration_s:.0f} s")
    return int(bool(wrong))


def _line(fault: Fault, cells: list[Cell]) -> str:
    passing = _sum(cell.faulty for cell in cells if not cell.stays)
    staying = _sum(cell.faulty for cell in cells if cell.stays)
    sound, afterwards = (_sum(getattr(c, what) for c in cells) for what in ("sound", "afterwards"))
    hung = " (hung)" if any(cell.hung for cell in cells) else ""
    texts = [_fates(passing), _fates(staying), _fates(sound), _fates(afterwards)]
    extra = sorted({text for cell in cells for text in cell.token_seen})
    extra += ["files outside the folder"] if any(cell.stray for cell in cells) else []
    name = f"{fault.name}{hung}{': ' if extra else ''}{'; '.join(extra)}"
    return f"| {name} | {' | '.join(texts)} |"


def _sum(counters) -> Counter:
    return sum(counters, Counter())


def _fates(count: Counter) -> str:
    return ", ".join(f"{fate} {n}" for fate, n in sorted(count.items())) or "-"


def _totals(client: str, cells: list[Cell]) -> str:
    first = _sum(cell.faulty + cell.sound for cell in cells)
    afterwards = _sum(cell.afterwards for cell in cells)
    bad = [first[fate] for fate in BAD]
    refused = first.total() - first["whole"] - sum(bad)
    figures = [
        *(first.total(), first["whole"], refused, *bad),
        afterwards.total() - afterwards["whole"],
        sum(bool(cell.stray) for cell in cells),
        sum(bool(cell.token_seen) for cell in cells),
    ]
    return f"| {client} | {' | '.join(map(str, figures))} |"


if __name__ == "__main__":
    sys.exit(main())

"""Take the pictures of products and of the web UI that the documentation shows.

    make demo pictures
    PYTHONPATH=. python docs/_pictures/take.py [--root data] [--into docs/_static]

They are those of the demo: its products as they lie in the work directory, its report in two
widths, the UI as Chromium shows it, and the figure of the tutorial, whose cells are run. Look at
them before they are committed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from PIL import Image

from hst_assets.workdir import WorkDir
from hst_assets_tests.headless_browser import Browser, Page, chromium

PROJECT = Path(__file__).parents[2]
TARGET, VISIT = "demo-sn", "demo-sn/idem02"
#: Pixels of a window, and of what the documentation is wide.
WIDE, NARROW, HIGH = 1300, 400, 900
SHOWN = 1000
#: No picture takes more.
MAX_BYTES = 300_000
_PATIENCE_S = 120.0
#: The UI draws its graph some time after its words are there.
_DRAWN_S = 4.0
_LOCATION = "hst_assets.definitions"
#: Whoever takes the pictures has a root of their own, which is shown as this one.
_ROOT_SHOWN = "/data"
_HIDE = """(() => { const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const text = texts.currentNode; text.data = text.data.replaceAll(%s, %s); } })()"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = os.environ.get("HST_ASSETS_ROOT") or str(PROJECT / "data")
    parser.add_argument("--root", type=Path, default=Path(default))
    parser.add_argument("--into", type=Path, default=PROJECT / "docs" / "_static")
    options = parser.parse_args()
    workdir = WorkDir(options.root, TARGET)
    if not workdir.report.is_file():
        print(f"there is no demo in {options.root}: run 'make demo' first", file=sys.stderr)
        return 1
    program = chromium()
    if program is None:
        print("there is no Chromium; Debian's package is chromium", file=sys.stderr)
        return 1
    take_products(workdir, options.into)
    take_tutorial(workdir, options.into)
    with tempfile.TemporaryDirectory() as profile, Browser(program, Path(profile)) as browser:
        take_report(browser, workdir, options.into)
        with web_server(workdir.root) as address:
            take_ui(browser, address, workdir.root, options.into)
    return 0


def keep(picture: Image.Image, path: Path) -> None:
    """Write a picture as small as it is shown, in 256 colours."""
    if picture.width > SHOWN:
        height = round(picture.height * SHOWN / picture.width)
        picture = picture.resize((SHOWN, height), Image.Resampling.LANCZOS)
    colours = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    colours.save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path.name}: {picture.width} x {picture.height}, {size / 1000:.0f} kB")
    if size > MAX_BYTES:
        raise SystemExit(f"{path} is too large")


def take_products(workdir: WorkDir, into: Path) -> None:
    """Previews that lie beside the products."""
    wanted = {
        "stack": workdir.preview(workdir.filter_stack("wfc3_uvis.f814w")),
        "light_curve": workdir.light_curve.with_suffix(".png"),
        "diagram": next(workdir.dolphot.glob("*.cmd.png")),
    }
    for name, path in wanted.items():
        with Image.open(path) as picture:
            keep(picture, into / f"{name}.png")


def take_tutorial(workdir: WorkDir, into: Path) -> None:
    """The figure of the tutorial, made by its own cells in a process of their own."""
    page = PROJECT / "docs" / "guide" / "tutorial.md"
    cells = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    environment = {**os.environ, "HST_ASSETS_ROOT": str(workdir.root), "MPLBACKEND": "agg"}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "\n".join(cells)]
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        with Image.open(Path(folder) / "supernova.png") as picture:
            keep(picture, into / "tutorial.png")


def take_report(browser: Browser, workdir: WorkDir, into: Path) -> None:
    """The top of the report page, wide and narrow."""
    for name, width in (("report_wide", WIDE), ("report_narrow", NARROW)):
        page = browser.open(workdir.report, width=width, height=HIGH)
        keep(seen(page), into / f"{name}.png")
        page.close()


def take_ui(browser: Browser, address: str, root: Path, into: Path) -> None:
    """The graph: a group, and all that a stack is made from; a materialization with its table."""
    stacks, images = f"{address}/assets/drizzled_stacks", f"{address}/assets/epoch_drizzles"
    for name, where, high, told in (
        ("ui_graph", f"{address}/locations/{_LOCATION}/asset-groups/drizzling", 760, "fits"),
        ("ui_lineage", f"{stacks}?view=lineage&lineageScope=upstream&lineageDepth=9", 700, "raw_"),
        ("ui_materialization", f"{images}?view=partitions&partition={VISIT}", 1500, "made_with"),
    ):
        page = browser.open(where, width=1500, height=high)
        page.wait_for(f"document.body.innerText.includes({told!r})")
        page.wait_for("[...document.images].every(each => each.complete)")
        time.sleep(_DRAWN_S)
        page.evaluate(_HIDE % (json.dumps(str(root)), json.dumps(_ROOT_SHOWN)))
        keep(seen(page), into / f"{name}.png")
        page.close()


def seen(page: Page) -> Image.Image:
    """What a page shows without scrolling."""
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        data = page.picture(Path(file.name), whole=False).read_bytes()
    return Image.open(BytesIO(data))


@contextlib.contextmanager
def web_server(root: Path) -> Iterator[str]:
    """A web server over the instance of ``$DAGSTER_HOME``; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "dagster_webserver", "-w", str(PROJECT / "workspace.yaml")]
    server = subprocess.Popen(
        [*command, "-h", "127.0.0.1", "-p", str(port)],
        cwd=PROJECT,
        env={**os.environ, "HST_ASSETS_ROOT": str(root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/server_info", server)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=60)


def wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=10):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.5)
    raise SystemExit("the web server did not come up")


if __name__ == "__main__":
    sys.exit(main())

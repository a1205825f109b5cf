"""Program of test_drizzling.py: a disk fills while stacks are drizzled, and is enlarged."""

import json
import shutil
import sys
from pathlib import Path

from hst_assets.failures import HstAssetsError
from hst_assets.imaging.drizzling import make_stacks
from hst_assets.provenance import read_record
from hst_assets.settings import load_settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.small_disk import mount, resize

_ROOM_MB = 4  # less than the scratch copies of one exposure
_ENOUGH_MB = 400


def main(root, disk):
    """Print what became of the stacks on the full disk, and with room again."""
    mount(disk, _ENOUGH_MB)
    shutil.copytree(root, disk / "root")
    workdir = WorkDir(disk / "root", "field")
    settings = load_settings(workdir)
    usage = shutil.disk_usage(disk)
    resize(disk, usage.used // 2**20 + _ROOM_MB)
    try:
        made = make_stacks(workdir, settings)
        full = made.facts["failures"]
    except HstAssetsError as error:
        full = f"{type(error).__name__}: {error}"
    indexed = read_record(workdir.stack_products) is not None
    resize(disk, _ENOUGH_MB)
    again = make_stacks(workdir, settings)
    told = {"full": full, "indexed": indexed, "ran": again.ran, "failed": again.facts["failed"]}
    print(json.dumps({**told, "n_products": again.facts["n_products"]}))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

"""How a stand-in that runs as a process of its own is told what to do: a file in its folder.

``DIR/stand_in.json`` is read again when it has changed, at the next request; keys may be missing::

    {
      "hidden": ["iaaa02", "iaaa03abq"],        visits or rootnames not yet in the archive
      "released": {"iaaa02": 61000.5},          when they became public (MJD); else, for what was
                                                hidden before, the moment it no longer is
      "data_rights": {"iaaa04": "EXCLUSIVE_ACCESS"},
      "tokens": ["good"],                       tokens that open such files
      "names": {"SN 2031a": [150.1, 2.2]},      what the resolvers know
      "latency_s": 0.05,
      "noise": true,                            advanced products and strangers (at start only)
      "faults": [{"route": "caom.*", "word": "503", "times": 3}],        replaces earlier ones
      "file_faults": {"iaaa01abq_flc.fits": ["reset:5000"]}              see file_service
    }

FITS files that appear below the folder are held from then on (write them elsewhere and move them
in); one that changes is a new release of the file. ``DIR/stand_in_address.json`` says where the
service is: ``{"url": …, "sesame_url": …, "s3_url": …, "pid": …}``.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

from hst_assets.failures import UnusableInput
from hst_assets_tests.stand_ins.archive_rows import OTHER_FILES
from hst_assets_tests.stand_ins.holdings import now_mjd

_LOOK_S = 0.2


class ControlFile:
    """The file, and the folder it lies in."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.path = self.folder / "stand_in.json"
        self._seen = None
        self._stamps: dict[Path, tuple[int, int]] = {}
        self._hidden: set[str] = set()
        self._looked = -1.0
        self._content: dict = {}
        self._lock = threading.Lock()

    def announce(self, mast):
        """Write where the service is."""
        address = {"url": mast.url, **mast.settings(), "pid": os.getpid()}
        part = self.folder / "stand_in_address.json.part"
        part.write_text(json.dumps(address))
        part.replace(self.folder / "stand_in_address.json")

    def obey(self, mast):
        """Bring a stand-in into the state that the file and the folder ask for."""
        with self._lock:
            changed = self._read()
            if changed or time.monotonic() - self._looked > _LOOK_S:
                new = self._take_in(mast.holdings)
                self._looked = time.monotonic()
                if changed or new:
                    self._apply(mast.holdings)
            if changed:
                self._set(mast)

    def _read(self):
        try:
            stat = self.path.stat()
            seen = (stat.st_mtime_ns, stat.st_size)
            if seen == self._seen:
                return False
            self._content = json.loads(self.path.read_text())
        except FileNotFoundError:
            seen, self._content = (), {}
        except ValueError:  # half written: at the next request
            return False
        changed, self._seen = seen != self._seen, seen
        return changed

    def _take_in(self, holdings):
        new = False
        for path in sorted(self.folder.rglob("*.fits")):
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if path.name[-8:-5] not in OTHER_FILES or self._stamps.get(path) == stamp:
                continue
            try:
                self._hold(holdings, path)
            except (UnusableInput, OSError):
                continue  # being written; looked at again
            self._stamps[path] = stamp
            new = True
        return new

    def _hold(self, holdings, path):
        if path in self._stamps:
            holdings.replace_file(path.name, path)
            return
        holdings.noise = self._content.get("noise", True)
        first = not holdings.file_names()
        found = holdings.add_file(path)
        if first and holdings.noise:
            holdings.add_strangers(found.row["s_ra"], found.row["s_dec"])

    def _apply(self, holdings):
        """Hidden, released and rights, for whatever of it is held."""
        released = self._content.get("released", {})
        hidden = set(self._content.get("hidden", ()))
        for name in sorted(self._hidden - hidden - set(released)):
            _try(holdings.release, name, now_mjd())
        for name, mjd in released.items():
            _try(holdings.release, name, mjd)
        for name, rights in self._content.get("data_rights", {}).items():
            _try(lambda name, rights: holdings.change(name, dataRights=rights), name, rights)
        for name in hidden:
            _try(holdings.hide, name)
        self._hidden = hidden

    def _set(self, mast):
        content = self._content
        mast.latency_s = float(content.get("latency_s", 0.0))
        mast.names.clear()
        mast.names.update({n: tuple(p) for n, p in content.get("names", {}).items()})
        if "tokens" in content:
            mast.files.tokens = set(content["tokens"])
        mast.heal()
        for fault in content.get("faults", ()):
            mast.inject(**fault)
        for name, faults in content.get("file_faults", {}).items():
            mast.files.faults[name] = list(faults)


def _try(change, name, *values):
    """Make a change to what may not be held yet."""
    try:
        change(name, *values)
    except KeyError:
        return

"""What an ingest left, in short; and a file that is no more what it was."""

from astropy.io import fits


def names(files):
    return sorted(file.name for file in files)


def reasons(report):
    return {rejected.path.name: rejected.reason for rejected in report.rejected}


def raw_bytes(workdir):
    return {path.name: path.read_bytes() for path in workdir.raw.glob("*.fits")}


def spoil(path):
    """Other bytes, and still a good exposure."""
    path.chmod(0o644)
    fits.setval(path, "TARGNAME", value="OTHER")
    return path

"""What the computer and the installation lack, with what to do."""

import http.server
import threading
from importlib.metadata import PackageNotFoundError

import pytest

from hst_assets import diagnosis
from hst_assets.settings import Settings, write_settings
from hst_assets.workdir import WorkDir
from hst_assets.workdir.folder_trial import Trial

GB = 10**9


@pytest.fixture
def workdir(tmp_path):
    return WorkDir(tmp_path / "root", "sn1")


def installed(**versions):
    def version(name):
        try:
            return versions[name]
        except KeyError:
            raise PackageNotFoundError(name) from None

    return version


def test_this_python_is_one_that_works():
    assert diagnosis.of_python().verdict == "ok"


def test_packages_that_fit_are_named_in_one_line():
    (finding,) = diagnosis.of_packages(
        ["alpha>=1", "beta"], installed=installed(alpha="1.5", beta="0.1")
    )
    assert (finding.verdict, finding.told) == ("ok", "alpha 1.5, beta 0.1")


def test_a_package_that_does_not_fit_is_told_with_its_command():
    too_new, good = diagnosis.of_packages(
        ["photutils>=2,<3", "beta"], installed=installed(photutils="3.0.1", beta="1")
    )
    assert (too_new.verdict, too_new.subject) == ("error", "package photutils")
    assert "pip install 'photutils<3,>=2'" in too_new.remedy
    assert good.verdict == "ok"


def test_a_package_that_is_missing_is_told():
    (finding,) = diagnosis.of_packages(["alpha>=1"], installed=installed())
    assert (finding.verdict, finding.told) == ("error", "is not installed")


def test_packages_of_extras_are_nobodys_fault():
    (finding,) = diagnosis.of_packages(["alpha; extra == 'parquet'"], installed=installed())
    assert (finding.verdict, finding.told) == ("ok", "none is required")


def test_a_package_that_is_only_on_the_path_is_not_checked(monkeypatch):
    def unknown(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(diagnosis, "requires", unknown)
    (finding,) = diagnosis.of_packages()
    assert finding.verdict == "not checked"


def test_a_part_that_cannot_be_looked_at_is_an_error():
    def unreadable():
        raise PermissionError(13, "Permission denied", "/secret")

    finding = diagnosis.looked_at("memory", unreadable)
    assert (finding.verdict, finding.told) == ("error", "/secret: Permission denied")


def test_nobody_needs_dolphot(workdir, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert diagnosis.of_dolphot(Settings(), workdir).verdict == "ok"


def test_a_wish_for_dolphot_without_it_is_an_error(workdir, monkeypatch):
    monkeypatch.setenv("PATH", "")
    settings = write_settings(workdir, {"photometry": {"photometer": "dolphot"}})
    finding = diagnosis.of_dolphot(settings, workdir)
    assert finding.verdict == "error"
    assert finding.remedy


def test_reference_files_are_fetched_where_no_folder_is_named(workdir):
    assert diagnosis.of_reference_files(Settings(), workdir, {}).verdict == "ok"


def test_a_folder_of_reference_files_that_is_gone_is_told(workdir, tmp_path):
    finding = diagnosis.of_reference_files(Settings(), workdir, {"jref": str(tmp_path / "gone")})
    assert finding.verdict == "warning"
    assert f"jref = {tmp_path / 'gone'}" in finding.told


def test_no_way_to_reference_files_is_told(workdir, tmp_path):
    settings = write_settings(workdir, {"reference_files": {"fetch": False}})
    assert diagnosis.of_reference_files(settings, workdir, {}).verdict == "warning"
    local = diagnosis.of_reference_files(settings, workdir, {"iref": str(tmp_path)})
    assert local.verdict == "ok"


@pytest.mark.parametrize(("free_gb", "verdict"), [(3, "warning"), (300, "ok")])
def test_little_room_is_told(tmp_path, free_gb, verdict):
    finding = diagnosis.of_disk(tmp_path / "new", usage=lambda _: (0, 0, free_gb * GB))
    assert finding.verdict == verdict
    assert f"{free_gb} GB free" in finding.told


def test_a_root_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "root").touch()
    assert diagnosis.of_disk(tmp_path / "root").verdict == "error"


@pytest.mark.parametrize(("free_gb", "verdict"), [(1, "warning"), (30, "ok")])
def test_little_memory_is_told(free_gb, verdict):
    assert diagnosis.of_memory(lambda: free_gb * GB).verdict == verdict


@pytest.fixture
def service():
    """A server whose answer is the number in the path."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(int(self.path.strip("/")))
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(("status", "verdict"), [(200, "ok"), (404, "ok"), (503, "warning")])
def test_a_service_is_there_if_it_answers(service, status, verdict):
    assert diagnosis.of_service("archive", f"{service}/{status}").verdict == verdict


def test_a_service_that_does_not_answer_is_told_with_what_to_do():
    finding = diagnosis.of_service("archive", "http://127.0.0.1:9", timeout_s=2.0)
    assert finding.verdict == "warning"
    assert "--offline" in finding.remedy


def test_settings_that_cannot_be_read_are_an_error(workdir):
    workdir.base.mkdir(parents=True)
    workdir.settings_file.write_text("[drizzle]\nsize_pix = 0\n")
    finding = diagnosis.settings_or_finding(workdir)
    assert finding.verdict == "error"
    assert "size_pix" in finding.told


def test_a_shared_folder_says_what_was_tried_and_what_was_not(tmp_path):
    finding = diagnosis.of_shared_folder(tmp_path)
    assert finding.verdict == "ok"
    assert "a lock keeps another process out" in finding.told
    assert finding.told.endswith("Between machines nothing was tried")


def test_a_folder_with_a_problem_is_an_error_and_one_that_is_not_there_not_checked(
    tmp_path, monkeypatch
):
    tried = [Trial("hard links", "it is a copy"), Trial("the clock", "")]
    monkeypatch.setattr(diagnosis, "try_folder", lambda _: tried)
    finding = diagnosis.of_shared_folder(tmp_path)
    assert finding.verdict == "error"
    assert finding.told.endswith("hard links: it is a copy")
    assert diagnosis.of_shared_folder(tmp_path / "nowhere").verdict == "not checked"

"""What a command said, kept in logs/ of the work directory."""

import pytest

from hst_assets.cli.console_log import KeptConsole, keep_console, kept_console
from hst_assets.failures import ToolFailed
from hst_assets.settings import write_settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.stand_ins.tiny_exposures import tiny_exposure

PLACE = ("10:00:24.0", "+02:12:00")


@pytest.fixture
def workdir(tmp_path):
    return WorkDir(tmp_path, "sn1").create()


def kept(workdir):
    (path,) = workdir.logs.glob("console_*.log")
    return path.read_text()


def test_what_was_said_before_and_after_is_kept_as_plain_text(workdir, capsys):
    with kept_console():
        KeptConsole().print("[red]before[/red] the folder was known")
        keep_console(workdir)
        KeptConsole(stderr=True).print("and afterwards")
    KeptConsole().print("of another command")
    lines = kept(workdir).splitlines()
    assert lines[1:] == ["before the folder was known", "and afterwards"]
    assert "of another command" in capsys.readouterr().out


def test_a_run_is_kept_with_its_command_line_and_its_failure_without_the_token(cli, root, mast):
    words = ("--target", "sn1", "--token", "s3cr3t", "--select", "raw_exposures")
    result = cli("run", "12:30:00", "-45.0", "--download", *words)
    assert result.code == 3
    text = kept(WorkDir(root, "sn1"))
    first, *said = text.splitlines()
    assert "hst-assets run 12:30:00 -45.0 --download" in first
    assert "s3cr3t" not in text
    assert set(said) >= {*result.out.splitlines(), *result.err.splitlines()}
    assert said[-1].startswith("error: ")


def test_a_log_that_cannot_be_written_costs_nothing(workdir, capsys):
    workdir.logs.rmdir()
    workdir.logs.write_text("a file")
    with kept_console():
        keep_console(workdir)
        KeptConsole().print("goes on")
    assert capsys.readouterr().out == "goes on\n"


@pytest.mark.parametrize("words", [("--token", "s3cr3t"), ("--token=s3cr3t",)])
def test_a_token_is_never_kept(workdir, words, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/usr/bin/hst-assets", "run", *words, "--name", "M 101"])
    with kept_console():
        keep_console(workdir)
    assert "s3cr3t" not in kept(workdir)
    assert kept(workdir).rstrip().endswith("--name 'M 101'")


def test_bytes_that_are_no_text_end_no_command(workdir, monkeypatch):
    name = b"na\xe9ve".decode(errors="surrogateescape")
    monkeypatch.setattr("sys.argv", ["/usr/bin/hst-assets", "run", name])
    with kept_console():
        keep_console(workdir)
    assert "na\\udce9ve" in kept(workdir)


def test_escape_sequences_and_colours_are_not_kept(workdir, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with kept_console():
        keep_console(workdir)
        KeptConsole().print("[red]seen[/red] \x1b[31mhidden")
    assert "\x1b" not in kept(workdir)
    assert "seen" in kept(workdir)


def test_where_a_refusal_of_the_system_came_from_is_kept_and_not_shown(
    cli, root, tmp_path, monkeypatch
):
    def refused(*_arguments, **_options):
        raise PermissionError(13, "Permission denied", "/nowhere")

    monkeypatch.setattr("hst_assets.orchestration.run_target.run_target", refused)
    source = tmp_path / "source"
    source.mkdir()
    for name, content in tiny_exposure("iaaa01a0q", "wfc3_uvis", 10.0, 20.0).items():
        (source / name).write_bytes(content)
    assert cli("ingest", source, "--target", "sn1").code == 0
    result = cli("materialize", "sn1")
    assert result.code == 1
    (line,) = result.err.splitlines()[-1:]
    assert line.startswith("error: /nowhere: Permission denied")
    assert "Traceback" not in result.err
    text = kept(WorkDir(root, "sn1"))
    assert "Traceback" in text
    assert "in refused" in text
    assert text.splitlines()[-1] == line


def test_a_failure_is_one_line_on_the_terminal_and_whole_in_the_log(cli, root, monkeypatch):
    lines = [
        "Traceback (most recent call last):",
        '  File "x.py", line 3, in f',
        "OSError: no room",
    ]

    def failing(workdir, **_options):
        keep_console(workdir)
        raise ToolFailed("drizzle: raised OSError", where="a.log", log_tail=lines)

    workdir = WorkDir(root, "sn1").create()
    write_settings(workdir, {"target": {"ra_deg": 10.0, "dec_deg": 20.0}})
    monkeypatch.setattr("hst_assets.cli.clean.clean_target", failing)
    result = cli("clean", "sn1")
    assert result.err == "error: a.log: drizzle: raised OSError; its log ends: OSError: no room\n"
    assert "\n  ".join(lines) in kept(workdir)


def test_what_no_log_will_have_is_not_made_into_text(workdir):
    """A table of a thousand targets takes a second to be."""

    class Counted:
        n_made = 0

        def __str__(self):
            self.n_made += 1
            return "a table"

    unkept, counted = Counted(), Counted()
    with kept_console():
        KeptConsole(quiet=True).print(unkept)
    with kept_console():
        KeptConsole(quiet=True).print(counted)
        keep_console(workdir)
    assert counted.n_made == unkept.n_made + 1
    assert kept(workdir).splitlines()[1:] == ["a table"]

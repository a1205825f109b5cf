"""Commands that are imported when they are asked for."""

import subprocess
import sys

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from hst_assets.cli.application import application
from hst_assets.cli.help_pages import HelpfulCommand, HelpfulGroup
from hst_assets.cli.late_commands import LateCommand, late_group
from hst_assets.cli.position_argument import PositionCommand
from hst_assets.cli.run import RunCommand

#: What a command that needs none of it must not wait for.
HEAVY = ("pydantic", "astropy", "numpy", "dagster", "hst_assets.settings")


@pytest.fixture
def group():
    """A command line with one command of its own and one that comes late."""
    late = {"visit": LateCommand("visit.visit_commands"), "explain": LateCommand("explain.gone")}
    made = typer.Typer(cls=late_group(late))
    made.command("own")(lambda: None)
    made.callback()(lambda: None)
    return get_command(made)


def test_the_version_waits_for_no_command():
    program = (
        "import sys\nfrom hst_assets.cli import main\n"
        "sys.argv = ['hst-assets', '--version']\n"
        "try:\n    main()\nfinally:\n    print(*sorted(sys.modules), sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.startswith("hst-assets "), done.stderr
    assert not set(HEAVY) & set(done.stderr.split())
    assert "hst_assets.cli.application" in done.stderr.split()


#: Commands whose arguments are a position, and what reads them.
OF_POSITIONS = {"run": RunCommand, "lightcurve": PositionCommand, "counterpart": PositionCommand}


@pytest.mark.parametrize("name", get_command(application).commands)
def test_every_command_is_where_the_table_says(name):
    command = get_command(application).commands[name]
    assert command.name == name
    assert command.help
    plain = HelpfulGroup if hasattr(command, "commands") else HelpfulCommand
    assert type(command) is OF_POSITIONS.get(name, plain)


def test_commands_of_a_group_come_with_it_and_without_completion_of_their_own(group):
    visit = group.commands["visit"]
    assert list(visit.commands) == ["forget"]
    assert not any("completion" in text for each in visit.params for text in each.opts)


def test_late_commands_come_before_those_of_the_group_itself(group):
    assert list(group.commands) == ["visit", "explain", "own"]


def test_a_command_is_built_once(group):
    assert group.commands["visit"] is group.commands["visit"]


def test_a_name_that_is_not_there_is_an_error_when_it_is_asked_for(group):
    with pytest.raises(AttributeError, match="gone"):
        group.commands["explain"]


def test_a_command_that_cannot_be_imported_is_not_said_to_be_missing(group, monkeypatch):
    monkeypatch.setattr(LateCommand, "load", lambda self, name: {}["missing"])
    with pytest.raises(ImportError, match="hst-assets visit cannot be imported"):
        group.commands.get("visit")


def test_a_mistyped_command_suggests_those_that_are_like_it():
    refused = CliRunner().invoke(application, ["materialise"])
    assert refused.exit_code == 2
    assert "Did you mean 'materialize'" in refused.output

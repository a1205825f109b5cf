"""Pages of ``--help``: groups of options, whole sentences, short names."""

import pytest

from hst_assets.cli.setting_options import HEADINGS, SETTING_OPTIONS


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_both_ways_to_ask_for_help_work(cli, flag):
    result = cli("status", flag)
    assert result.code == 0
    assert "Show the products of a target" in result.out


def test_the_version_is_told(cli):
    from importlib.metadata import version

    result = cli("--version")
    assert result.code == 0
    assert result.out.strip() == f"hst-assets {version('hst_assets')}"


def test_completion_of_the_shell_can_be_installed(cli):
    assert "--install-completion" in cli("--help").out


def test_options_of_run_stand_under_the_heading_of_their_section(cli):
    page = cli("run", "--help").out
    headings = [f"\n{heading}:\n" for heading in dict.fromkeys(HEADINGS.values())]
    starts = [page.index(heading) for heading in headings]
    assert starts == sorted(starts)
    alignment = page[starts[3] : starts[4]]
    assert "--tweak-search" in alignment
    assert "--drizzle-dim" not in alignment


def test_an_option_tells_its_setting_and_its_default(cli):
    page = " ".join(cli("run", "--help").out.split())
    assert "[alignment.search_radius_arcsec; default 1.0]" in page
    assert "[drizzle.sky_sub; default on]" in page


def test_no_option_explains_itself_by_its_own_name(cli):
    page = " ".join(cli("run", "--help").out.split())
    assert "Measure the stars of the target's exposures. [photometry.make]" in page
    assert "redo the Hubble Advanced Products" in page


def test_help_is_plain_text_without_marks_or_dashes_that_no_shell_reads(cli):
    for command in ("run", "materialize", "up", "hap", "status", "counterpart"):
        page = cli(command, "--help").out
        assert not set(page) & set("`\u2013\u2014\u2212"), command


def test_every_setting_of_an_option_has_a_heading():
    sections = {each.setting.partition(".")[0] for each in SETTING_OPTIONS}
    assert sections <= set(HEADINGS)


def test_commands_are_told_in_whole_sentences(cli):
    page = cli("--help").out
    assert "..." not in page.partition("Commands:")[2]

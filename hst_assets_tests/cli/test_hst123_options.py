"""The whole list of hst123's options, held against the parser of `hst-assets run`."""

from hst_assets.cli.absent_options import ABSENT_OPTIONS
from hst_assets.cli.setting_options import changes_of

PLACE = ("10:00:24.0", "+02:12:00")

#: Every option of hst123 1.1.0 that takes no value.
_FLAGS_OF_HST123 = """
--skip-copy --by-visit --cleanup --keep-drizzle-artifacts --no-clear-downloads --download
--clobber --redo --redo-astrometry --redo-astrodrizzle --redo-dolphot --only-wide --keep-short
--keep-indt --keep-tdf-down --avoid-wfpc2 --keep-objfile --skip-tweakreg --hierarchical
--hierarchical-test --drizzle-all --sky-sub --no-nan --redrizzle --no-rotation --no-mask
--run-dolphot --align-only --do-fake --df --add-crmask --include-all-splits --scrape-dolphot
--sd --scrape-all --no-cuts --brightest --no-write-dolphot-hdf5 --version
"""
#: And those that take one, each with a value that hst123's guide or parser has.
_VALUES_OF_HST123 = {
    "--work-dir": "sn1",
    "--raw-dir": "raw",
    "--archive": "archive",
    "--token": "secret",
    "--before": "2015-01-01",
    "--after": "2010-01-01",
    "--only-filter": "F606W,F814W",
    "--reference": "a.drc.fits",
    "--ref": "a.drc.fits",
    "--reference-filter": "F814W",
    "--ref-filter": "F814W",
    "--reference-instrument": "wfc3",
    "--align-with": "jhat",
    "--tweak-search": "1.0",
    "--tweak-min-obj": "10",
    "--tweak-nbright": "4000",
    "--tweak-thresh": "10.0",
    "--drizzle-add": "a_flc.fits,b_flc.fits",
    "--drizzle-mask": "185.73,15.82",
    "--object": "sn1",
    "--drizzle-dim": "5200",
    "--drizzle-scale": "0.05",
    "--combine-type": "median",
    "--wht-type": "EXP",
    "--fix-zpt": "25.0",
    "--max-cores": "2",
    "--dolphot": "dp",
    "--dp": "dp",
    "--dolphot-lim": "3.5",
    "--fit-sky": "2",
    "--scrape-radius": "0.5",
}


def _parameters():
    """Name of an option to the parameter of ``run`` that it is."""
    from typer.main import get_command

    from hst_assets.cli.application import application

    command = get_command(application).commands["run"]
    return {
        name: parameter
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }


def test_every_option_of_hst123_is_taken_or_refused_by_name():
    taken = set(_parameters())
    assert {*_FLAGS_OF_HST123.split(), *_VALUES_OF_HST123} - taken - set(ABSENT_OPTIONS) == set()
    assert taken & set(ABSENT_OPTIONS) == set()


def test_options_of_hst123_take_a_value_where_they_did():
    parameters = _parameters()
    flags = set(_FLAGS_OF_HST123.split()) - set(ABSENT_OPTIONS)
    assert {name for name in flags if not parameters[name].is_flag} == set()
    assert {name for name in _VALUES_OF_HST123 if parameters[name].is_flag} == set()


def test_a_whole_command_line_of_hst123_is_understood():
    """Each option with a value, as the parser and the settings read it."""
    from typer.main import get_command

    from hst_assets.cli.application import application
    from hst_assets.settings import Settings

    command = get_command(application).commands["run"]
    # Of names for one option, the first.
    parameters = _parameters()
    seen, words = set(), list(PLACE)
    for name, value in _VALUES_OF_HST123.items():
        if parameters[name].name not in seen:
            seen.add(parameters[name].name)
            words += [name, value]
    words += sorted(set(_FLAGS_OF_HST123.split()) - set(ABSENT_OPTIONS))
    context = command.make_context("run", words)
    values = changes_of({each: context.params.get(each) for each in context.params})
    settings = Settings.model_validate(values)
    assert settings.alignment.align_with == ("jhat",)
    assert settings.drizzle.size_pix == 5200
    assert settings.machine.max_cores == 2

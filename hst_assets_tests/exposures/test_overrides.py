from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hst_assets.exposures.overrides import (
    Override,
    overrides_of_visit,
    read_overrides,
    refuse_unknown,
)
from hst_assets.failures import BadConfiguration

HEAD = """# %ECSV 1.0
# ---
# datatype:
# - {name: rootname, datatype: string}
# - {name: use, datatype: bool}
# - {name: reason, datatype: string}
rootname use reason
"""
AS_TEXT = HEAD.replace("datatype: bool", "datatype: string")


@pytest.fixture
def overrides(tmp_path):
    def read(text):
        path = tmp_path / "overrides.ecsv"
        path.write_text(text)
        return read_overrides(path)

    return read


def test_no_file_is_no_decision(tmp_path):
    assert read_overrides(tmp_path / "overrides.ecsv") == {}


def test_a_table_without_rows_is_no_decision(overrides):
    assert overrides(HEAD) == {}


def test_decisions_are_found_by_exposure(overrides):
    found = overrides(HEAD + 'idsj02axq False "satellite trail"\nidsj02ayq True "it is fine"\n')
    assert found == {
        "idsj02ax": Override("idsj02axq", use=False, reason="satellite trail"),
        "idsj02ay": Override("idsj02ayq", use=True, reason="it is fine"),
    }


@pytest.mark.parametrize(
    ("word", "use"), [("yes", True), ("TRUE", True), ("no", False), ("False", False)]
)
def test_use_may_be_a_word(overrides, word, use):
    assert overrides(AS_TEXT + f"idsj02axq {word} why\n")["idsj02ax"].use is use


def test_case_of_the_rootname_does_not_matter(overrides):
    assert overrides(HEAD + "IDSJ02AXQ False why\n")["idsj02ax"].rootname == "idsj02axq"


def test_further_columns_are_harmless(overrides):
    text = HEAD.replace("# - {name: reason", "# - {name: who, datatype: string}\n# - {name: reason")
    text = text.replace("use reason", "use who reason")
    assert overrides(text + "idsj02axq False me why\n")["idsj02ax"].reason == "why"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be read as ECSV"),
        ("rootname use reason\nidsj02axq False why\n", "cannot be read as ECSV"),
        ("\x00\x01\x02", "cannot be read as ECSV"),
        (HEAD.replace("# %ECSV 1.0\n", ""), "cannot be read as ECSV"),
        (HEAD + "idsj02axq False\n", "cannot be read as ECSV"),
        (HEAD + "idsj02axq False a reason without quotes\n", "cannot be read as ECSV"),
        (HEAD + "idsj02axq maybe why\n", "cannot be read as ECSV"),
        (HEAD.replace("datatype: bool", "datatype: nonsense"), "cannot be read as ECSV"),
        (HEAD.replace("{name: use,", "{name: use"), "cannot be read as ECSV"),
        (HEAD.replace("name: use", "name: usage").replace(" use ", " usage "), "no column use"),
        (AS_TEXT + "idsj02axq maybe why\n", "row 1: use is 'maybe', not true or false"),
        (HEAD + 'idsj02axq False ""\n', "row 1: (no reason|a decision needs a reason)"),
        (HEAD + 'idsj02axq False "  "\n', "row 1: (no reason|a decision needs a reason)"),
        (HEAD + 'idsj02axq "" why\n', "row 1: no use"),
        (HEAD + '"" False why\n', "row 1: .*(no rootname|not an HST rootname)"),
        (HEAD + "ngc104 False why\n", "row 1: 'ngc104': not an HST rootname"),
        (
            HEAD + "idsj02axq False why\nIDSJ02AX True why\n",
            "row 2: IDSJ02AX|row 2: idsj02ax has a row already",
        ),
    ],
)
def test_a_malformed_file_is_an_error_that_says_where(overrides, text, reason):
    with pytest.raises(BadConfiguration, match=reason):
        overrides(text)


@settings(max_examples=60)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_nothing_makes_the_reader_fail_otherwise(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("overrides") / "overrides.ecsv"
    path.write_text(HEAD + text, encoding="utf-8")
    with suppress(BadConfiguration):
        assert all(type(override.use) is bool for override in read_overrides(path).values())


def test_only_the_decisions_of_the_visit_concern_it(overrides):
    found = overrides(HEAD + "idsj02axq False why\nidsj03ayq True why\n")
    assert list(overrides_of_visit(found, "idsj03")) == ["idsj03ay"]


def test_a_decision_on_an_unknown_exposure_is_an_error(overrides):
    found = overrides(HEAD + "idsj02axq False why\nidsj02zzq True why\n")
    with pytest.raises(BadConfiguration, match="not in raw/: idsj02zzq"):
        refuse_unknown(found, ["idsj02axq"], "overrides.ecsv")


def test_decisions_on_known_exposures_pass(overrides):
    known = overrides(HEAD + "idsj02ax False why\n")
    assert refuse_unknown(known, ["idsj02axq"], "overrides.ecsv") is None

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.failures import BadConfiguration
from hst_assets.identifiers import VisitKey, validate_target, validate_visit, visit_of_rootname

LOWER = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
VISITS = st.builds(
    str.__add__, st.sampled_from(LOWER), st.text(LOWER + DIGITS, min_size=5, max_size=5)
)
TARGETS = st.builds(
    str.__add__,
    st.sampled_from(LOWER + LOWER.upper() + DIGITS),
    st.text(LOWER + LOWER.upper() + DIGITS + "_+-", max_size=63),
)


@pytest.mark.parametrize(
    "name", ["a", "ngc104", "SN2013fy", "M31_B+1", "4-U", "x" * 64, "v1.2.3", "47Tuc", "ngc104."]
)
def test_good_target_names(name):
    assert validate_target(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "", "x" * 65, ".", "..", "a..b", ".hidden", "-rf", "_x", "+1", "a/b", "a\\b", "a b", "a\tb",
        "a\n", "a,b", "a|b", "a...b", "a*", "a[b]", "é", "\u0661", "a\0", "~", "a:b", "a;b", "a&b",
        "$x",
    ],
)  # fmt: skip
def test_bad_target_names_are_refused(name):
    with pytest.raises(BadConfiguration, match=r"target name"):
        validate_target(name)


@given(st.text(max_size=80))
def test_what_passes_as_a_target_is_one_safe_path_component(name):
    try:
        validate_target(name)
    except BadConfiguration:
        return
    assert 0 < len(name) <= 64
    assert name.isascii()
    assert not set(name) & set("/\\,|*[] \t\r\n\0")
    assert ".." not in name
    assert name[0].isalnum()


@pytest.mark.parametrize("visit", ["j8bt06", "idsj02", "u40x01", "abcdef"])
def test_good_visits(visit):
    assert validate_visit(visit) == visit


@pytest.mark.parametrize(
    "visit", ["", "j8bt0", "j8bt060", "J8BT06", "88bt06", "j8bt0/", "j8bt06\n", "j8 t06", "j8bt0é"]
)
def test_bad_visits_are_refused(visit):
    with pytest.raises(BadConfiguration, match="not a visit id"):
        validate_visit(visit)


@pytest.mark.parametrize("rootname", ["j8bt06nyq", "J8BT06NYQ", " j8bt06nyq ", "j8bt06ny"])
def test_the_visit_of_a_rootname(rootname):
    assert visit_of_rootname(rootname) == "j8bt06"


@pytest.mark.parametrize(
    "rootname", ["", "j8bt06", "j8bt06nyqq", "hst_1_2", "8bt06nyqx", "j8bt06ny."]
)
def test_what_is_no_rootname_is_refused(rootname):
    with pytest.raises(BadConfiguration, match="not an HST rootname"):
        visit_of_rootname(rootname)


@given(TARGETS, VISITS)
def test_visit_keys_are_read_as_they_were_written(target, visit):
    key = VisitKey(target, visit)
    assert VisitKey.parse(str(key)) == key


@pytest.mark.parametrize(
    "key", ["", "ngc104", "ngc104/", "/j8bt06", "a/j8bt06/x", "a//j8bt06", "a/b/j8bt06", "a|j8bt06"]
)
def test_bad_visit_keys_are_refused(key):
    with pytest.raises(BadConfiguration):
        VisitKey.parse(key)


@given(st.text(max_size=30))
def test_a_key_that_parses_is_spelled_in_one_way(text):
    try:
        key = VisitKey.parse(text)
    except BadConfiguration:
        return
    assert str(key) == text


def test_keys_sort_by_target_then_visit():
    keys = [VisitKey("b", "aaaa01"), VisitKey("a", "bbbb02"), VisitKey("a", "aaaa01")]
    assert [str(key) for key in sorted(keys)] == ["a/aaaa01", "a/bbbb02", "b/aaaa01"]

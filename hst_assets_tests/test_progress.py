"""How often it is said how far a measurement is."""

from hst_assets.progress import Progress, now_and_then


def test_a_line_is_said_when_the_step_changes_and_then_rarely():
    said = []
    listen = now_and_then(said.append, seconds=3600)
    for progress in (Progress("a", 0.1, "x"), Progress("a", 0.2, "x"), Progress("b", 0.5, "y")):
        listen(progress)
    assert said == ["x: a (10%)", "y: b (50%)"]

import json

import pytest

from hst_assets.orchestration.sensor_memory import (
    LevelCursor,
    read_cursor,
    write_cursor,
    written_at,
)


@pytest.fixture
def instance(instance_on_disk):
    return instance_on_disk


def test_what_ten_thousand_visits_were_asked_for_is_not_in_the_tick(instance):
    cursor = LevelCursor(asked={f"sn1/i{number:05d}": "0" * 64 for number in range(10_000)})
    text = write_cursor(instance, cursor, None, 5.0)
    # Dagster keeps some thousand ticks of each sensor.
    assert len(text) < 200
    assert read_cursor(instance, text) == cursor
    assert written_at(text) == 5.0


def test_a_tick_without_news_writes_nothing(instance, monkeypatch):
    cursor = LevelCursor(asked={"sn1/iaaa01": "abc"})
    first = write_cursor(instance, cursor, None, 5.0)
    written = []
    monkeypatch.setattr(type(instance.daemon_cursor_storage), "set_cursor_values", written.append)
    again = write_cursor(instance, cursor, first, 35.0)
    assert not written
    assert read_cursor(instance, again) == cursor
    assert written_at(again) == 35.0


def test_a_tick_that_dies_leaves_what_the_one_before_has_seen(instance):
    first = write_cursor(instance, LevelCursor(asked={"sn1": "a"}), None, 5.0)
    second = write_cursor(instance, LevelCursor(asked={"sn1": "b"}), first, 35.0)
    for version in ("c", "d"):  # of neither does Dagster keep the cursor
        write_cursor(instance, LevelCursor(asked={"sn1": version}), second, 65.0)
    assert read_cursor(instance, second).asked == {"sn1": "b"}


def test_two_sensors_keep_what_they_have_seen_apart(instance):
    first = write_cursor(instance, LevelCursor(asked={"sn1": "a"}), None, 5.0)
    second = write_cursor(instance, LevelCursor(asked={"sn1": "b"}), None, 5.0)
    assert read_cursor(instance, first).asked == {"sn1": "a"}
    assert read_cursor(instance, second).asked == {"sn1": "b"}


def test_cursors_of_earlier_versions_are_taken_over(instance):
    earliest = {"sn1": "abc", "asked": "def"}
    assert read_cursor(instance, json.dumps(earliest)) == LevelCursor(asked=earliest)
    later = {"asked": {"sn1": "abc"}, "standing": {}, "n_asked": {"sn1": 1}, "written_at": 7.0}
    found = read_cursor(instance, json.dumps(later))
    assert found == LevelCursor(asked={"sn1": "abc"}, n_asked={"sn1": 1})
    assert written_at(json.dumps(later)) == 7.0
    assert read_cursor(instance, None) == LevelCursor()


def test_a_note_without_its_content_is_as_a_new_sensor(instance):
    text = write_cursor(instance, LevelCursor(asked={"sn1": "a"}), None, 5.0)
    note = json.loads(text) | {"store": "of another instance"}
    assert read_cursor(instance, json.dumps(note)) == LevelCursor()


def test_a_preview_with_an_old_cursor_makes_no_sensor_believe_that_it_asked(instance):
    """The web UI evaluates a sensor with the cursor of when its dialogue was opened."""
    opened = write_cursor(instance, LevelCursor(asked={"sn1": "a"}), None, 5.0)
    middle = write_cursor(instance, LevelCursor(asked={"sn1": "b"}), opened, 35.0)
    for at_work in (middle, write_cursor(instance, LevelCursor(asked={"sn1": "c"}), middle, 65.0)):
        write_cursor(instance, LevelCursor(asked={"sn1": "never launched"}), opened, 70.0)
        assert "never launched" not in read_cursor(instance, at_work).asked.values()

"""What the section `publish` takes and refuses."""

import traceback

import pytest
from pydantic import ValidationError

from hst_assets.failures import BadConfiguration
from hst_assets.settings import PublishSettings, Settings, load_settings
from hst_assets.workdir import WorkDir


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", ""),
        ("  ", ""),
        ("s3://bucket/prefix/", "s3://bucket/prefix"),
        ("file:///data/published", "file:///data/published"),
        ("memory://here", "memory://here"),
    ],
)
def test_a_destination_is_a_url(given, kept):
    assert PublishSettings(destination=given).destination == kept


@pytest.mark.parametrize(
    "url",
    [
        "bucket/prefix",
        "/data/published",
        "simplecache::s3://bucket",
        "s3://KEY:SECRET@bucket/prefix",
        "s3://KEY:abc/SECRET@bucket/prefix",
        "s3://KEY:SECRET/prefix",
        "s3a://KEY:SECRET/prefix",
        "gs://KEY:abc/SECRET@bucket/prefix",
        "s3:///prefix",
        "file://data/published",
        "local://data/published",
        "s3://bucket/prefix?versionId=SECRET",
        "s3://bucket/prefix#SECRET",
        "s3://bucket/a/../b",
        "s3://bucket/a\nb",
    ],
)
def test_what_is_none_or_has_keys_in_it_is_refused_without_repeating_a_key(url):
    with pytest.raises(ValidationError) as caught:
        PublishSettings(destination=url)
    assert "SECRET" not in str(caught.value)


def test_a_key_in_a_file_of_settings_is_repeated_nowhere(tmp_path):
    workdir = WorkDir(tmp_path, "sn1").create()
    workdir.settings_file.write_text('[publish]\ndestination = "s3://KEY:SECRET@bucket"\n')
    with pytest.raises(BadConfiguration, match="do not belong into a URL") as caught:
        load_settings(workdir)
    told = "".join(traceback.format_exception(caught.value))
    assert "SECRET" not in told  # nor where Dagster keeps what an error came from


def test_a_target_is_published_only_where_a_destination_is_set():
    assert not Settings().wants("publish.destination")
    there = PublishSettings(destination="s3://bucket")
    assert Settings(publish=there).wants("publish.destination")


def test_how_it_is_verified_is_in_no_recipe():
    assert PublishSettings(read_back=False, max_tries=9).as_recipe() == {"destination": ""}

import json

import pytest

from hst_assets.failures import UnusableInput
from hst_assets.publishing.manifest import Manifest, is_object, object_key

SHA = "0123456789abcdef" * 4


def manifest(key="files/drizzle/0123456789abcdef/a.fits", **more):
    file = {"key": key, "sha256": SHA, "size": 1, "recipe": "r", "made_by": "1"}
    product = {
        "recipe": "r",
        "made": "2026-01-01T00:00:00+00:00",
        "published": "2026-01-02T00:00:00+00:00",
        "made_by": "1",
        "files": {"drizzle/a.fits": {**file, "verified": "by checksum"}},
    }
    whole = {"format": 1, "target": "sn1", "written": "", "hst_assets": "1"}
    return json.dumps({**whole, "products": {"drizzled_stacks": product}, **more}).encode()


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("report.html", "files/0123456789abcdef/report.html"),
        ("drizzle/a.fits", "files/drizzle/0123456789abcdef/a.fits"),
        ("a b/..c/x?y#z%.fits", "files/a_b/c/0123456789abcdef/x_y_z_.fits"),
        (".pieces/.x", "files/pieces/0123456789abcdef/x"),
        ("…/…", "files/_/0123456789abcdef/_"),
        ("a/..", "files/a/0123456789abcdef/_"),
    ],
)
def test_an_object_is_named_by_path_and_content_in_plain_characters(path, key):
    assert object_key(path, SHA) == key
    assert is_object(key)


@pytest.mark.parametrize(
    "key", ["manifest.json", "files/notes.txt", "files/a/b/c.txt", "files/../0123456789abcdef/a"]
)
def test_what_others_put_there_has_not_the_form_of_an_object(key):
    assert not is_object(key)


def test_a_manifest_is_read_as_it_was_written():
    parsed = Manifest.parse(manifest(), "here")
    assert Manifest.parse(parsed.as_json(), "here") == parsed
    assert parsed.objects() == {"files/drizzle/0123456789abcdef/a.fits"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        manifest(format=2),
        manifest(more=1),
        manifest(key="../../other/manifest.json"),
        manifest(key="files/../../x/0123456789abcdef/a"),
    ],
)
def test_what_is_no_manifest_of_ours_is_refused(content):
    with pytest.raises(UnusableInput, match="here: this is no manifest"):
        Manifest.parse(content, "here")

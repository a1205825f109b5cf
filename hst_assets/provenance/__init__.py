"""Digests of inputs, settings and code; the record beside each product; skip or run.

A recipe is everything that decides what a product will be; its record is written last, and says
what was made. `make` compares the two.
"""

from hst_assets.digests import digest_of, sha256_of_file
from hst_assets.provenance.adoption import former_digests
from hst_assets.provenance.making import (
    Made,
    Result,
    WouldBeMade,
    make,
    reasons_of_parts,
    standing_record,
    why_make,
    why_without_record,
)
from hst_assets.provenance.recipe import Recipe, tool_version, without_defaults
from hst_assets.provenance.record import FileStamp, Record, read_record

__all__ = [
    "FileStamp",
    "Made",
    "Recipe",
    "Record",
    "Result",
    "WouldBeMade",
    "digest_of",
    "former_digests",
    "make",
    "read_record",
    "reasons_of_parts",
    "sha256_of_file",
    "standing_record",
    "tool_version",
    "why_make",
    "why_without_record",
    "without_defaults",
]

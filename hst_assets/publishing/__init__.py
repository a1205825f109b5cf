"""Finished products on S3-compatible storage: what is published, and how it is sent and verified.

Each file of a product is an object that never changes; the manifest of a target, which is written
last, says which objects are today's. A reader who goes by it never sees half a publication.
"""

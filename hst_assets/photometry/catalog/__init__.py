"""Catalogues of stars in DOLPHOT's format, and the files beside them, whoever made them.

`reading.read_catalog` gives a `model.Catalog`: columns addressed by quantity and filter or image,
as an astropy table, a pandas frame, or a file of another format (`exports`, `hdf5_file`).
"""

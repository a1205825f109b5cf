"""Hubble Advanced Products: uniform images and catalogues of one visit, by drizzlepac's HAP code.

drizzlepac makes them in one process and one folder, one product after the other. Here each product
is a piece of its own, in a child process and a scratch folder of its own, and filters are made in
parallel; the products are the same.
"""

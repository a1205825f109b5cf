"""Alignment methods: how one exposure is fitted to a list of stars.

`registry` names them, `ladder` tries them in turn, `attempts` is the loop of tries that they share;
each method is a module, with its fit and its task for child processes beside it.
"""

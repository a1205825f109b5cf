"""Alignment methods: how one exposure is fitted to a list of stars.

`registry` names them, `ladder` tries them in turn, `attempts` is the loop of tries that they share;
each method has a fit, and a task that makes it in child processes.
"""

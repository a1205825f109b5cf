"""Several processes that calls are forked from, in the place of one, by what they were told.

A visit is made in the folder and with the variables of its test. Each other folder or variable
wants a process of its own, which takes seconds to import drizzlepac; tests come back to a few.
"""

from __future__ import annotations

import functools

from hst_assets import kept_nurseries

#: Each holds some 200 MB.
_MOST = 4


def kept_by_origin(serve):
    """`hst_assets.kept_nurseries.serve`, so that the last few nurseries are kept."""

    @functools.wraps(serve)
    def serve_by_origin(request, environment, *, resident, allowance_s):
        _, folder, variables = kept_nurseries._origin(environment)
        key = (resident, folder, frozenset(variables.items()))
        serve(request, environment, resident=key, allowance_s=allowance_s)
        kept = kept_nurseries._KEPT.nurseries
        ours = [each for each in kept if isinstance(each, tuple)]  # the last is the latest used
        for each in ours[:-_MOST]:
            kept.pop(each).end()

    return serve_by_origin

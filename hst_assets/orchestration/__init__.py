"""Assets, checks, sensors, schedules, resources and the IO manager: how Dagster runs the science.

No astronomy belongs here: an asset body gets paths from the work directory, calls one science
function and returns what it reported.
"""

"""The definitions with dagster-celery's executor, for `celery_forms.py`: a step is a task."""

import os

from dagster_celery import celery_executor

from hst_assets.orchestration.build import build_defs

_BROKER = os.environ["HST_ASSETS_BROKER_URL"]

defs = build_defs(executor=celery_executor.configured({"broker": _BROKER, "backend": _BROKER}))

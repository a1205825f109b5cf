"""A stand-in for Dagster's daemon: ticks of sensors and schedules, with what it does about them."""

from datetime import UTC, datetime

import dagster as dg
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from hst_assets.orchestration.resources import HstRoot, MastAccess


class Daemon:
    """Evaluates sensors tick after tick, as the daemon does: cursor kept, partitions added.

    Attributes
    ----------
    asked : list of (str, str)
        Run key and partition of all requests of sensors, without those whose key came before.
    """

    def __init__(self, defs, instance, root):
        self.defs, self.instance = defs, instance
        self.resources = {"hst_root": HstRoot(root=str(root)), "mast": MastAccess()}
        self.asked = []
        self._run_keys = {}
        self._cursors = {}

    def tick(self, job):
        """One tick of a level's sensor; the partitions it asks for."""
        return self.tick_sensor(f"{job}_sensor")

    def tick_archive(self):
        """One tick of the sensor on new data."""
        return self.tick_sensor("new_mast_data_sensor")

    def tick_sensor(self, name):
        result = self.evaluate(name)
        self._cursors[name] = result.cursor
        self._keep(name, result.cursor)
        for request in result.dynamic_partitions_requests:
            self.instance.add_dynamic_partitions(
                request.partitions_def_name, request.partition_keys
            )
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        # Dagster knows a run key again where it came from the same sensor.
        known = self._run_keys.setdefault(name, set())
        new = [(r.run_key, r.partition_key) for r in result.run_requests if r.run_key not in known]
        known |= {key for key, _ in new}
        self.asked += new
        return [partition for _, partition in new]

    def evaluate(self, name):
        """The bare answer of a sensor; nothing is kept, as in a tick that dies."""
        repository = self.defs.get_repository_def()
        # Built as the daemon builds it: with a reference to the instance, not the instance.
        context = dg.SensorEvaluationContext(
            instance_ref=self.instance.get_ref(),
            last_tick_completion_time=None,
            last_run_key=None,
            cursor=self._cursors.get(name),
            log_key=None,
            repository_name=None,
            repository_def=repository,
            sensor_name=name,
            resources=self.resources,
        )
        return repository.get_sensor_def(name).evaluate_tick(context)

    def cursor_of_archive(self):
        return self._cursors["new_mast_data_sensor"]

    def stop(self, name):
        """Stop a sensor, as a user does."""
        self._keep(name, self._cursors.get(name), InstigatorStatus.STOPPED)

    def run(self, job, partition):
        """Run a job of one partition, as a run of the daemon's."""
        return self.defs.resolve_job_def(job).execute_in_process(
            partition_key=partition, instance=self.instance, raise_on_error=False
        )

    def night(self, schedule, moment=datetime(2026, 1, 1, 1, tzinfo=UTC)):
        """One tick of a schedule; the partitions it asks for."""
        repository = self.defs.get_repository_def()
        context = dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=moment,
            resources=self.resources,
            repository_def=repository,
        )
        ticked = repository.get_schedule_def(schedule).evaluate_tick(context)
        return [request.partition_key for request in ticked.run_requests]

    def _keep(self, name, cursor, status=InstigatorStatus.RUNNING):
        location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="hst_assets"))
        repository = RemoteRepositoryOrigin(location, "__repository__")
        state = InstigatorState(
            RemoteInstigatorOrigin(repository, name),
            InstigatorType.SENSOR,
            status,
            SensorInstigatorData(min_interval=60, cursor=cursor),
        )
        found = self.instance.get_instigator_state(state.instigator_origin_id, state.selector_id)
        if found is None:
            self.instance.add_instigator_state(state)
        else:
            self.instance.update_instigator_state(state)

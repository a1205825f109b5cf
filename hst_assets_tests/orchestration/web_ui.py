"""What a test asks a running web server of Dagster's, as the pages of the UI do."""

import json
import urllib.request
from contextlib import suppress


class WebUi:
    """The GraphQL interface of the server at a port of this machine."""

    def __init__(self, port):
        self.port = port
        self._repository = None

    def ask(self, query, **variables):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            answer = json.load(reply)
        assert "errors" not in answer, answer
        return answer["data"]

    def is_up(self):
        """Whether it answers, and has loaded the definitions."""
        with suppress(OSError):
            return bool(self._repositories())
        return False

    def _repositories(self):
        return self.ask(
            "{ repositoriesOrError { ... on RepositoryConnection"
            " { nodes { name location { name } } } } }"
        )["repositoriesOrError"]["nodes"]

    def selector(self, **more):
        """How a query names what is in the only code location."""
        if self._repository is None:
            (self._repository,) = self._repositories()
        return {
            "repositoryName": self._repository["name"],
            "repositoryLocationName": self._repository["location"]["name"],
            **more,
        }

    def start_sensor(self, name):
        state = self.ask(
            "mutation($selector: SensorSelector!) { startSensor(sensorSelector: $selector)"
            " { ... on Sensor { sensorState { status } } } }",
            selector=self.selector(sensorName=name),
        )["startSensor"]
        assert state == {"sensorState": {"status": "RUNNING"}}

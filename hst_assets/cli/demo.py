"""``hst-assets demo``: placeholder while the simulator is written."""


def demo_command() -> None: ...

"""Runs one client: ``python -m benchmarks.run_scenario NAME MODULE URL SETTINGS``, the settings as JSON.

The program prints the figures of the client as one line of JSON.
"""

from __future__ import annotations

import json
import sys

from benchmarks.clients import CLIENTS
from benchmarks.scenario import Scenario


def main(name: str, module: str, url: str, settings: str) -> None:
    """Run the scenario of a module with one client."""
    run = CLIENTS[name].load()
    print(json.dumps(run(url, Scenario.load(module, json.loads(settings)))))


if __name__ == "__main__":
    main(*sys.argv[1:])

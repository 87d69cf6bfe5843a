"""Runs other projects' clients against the local server, and writes ``docs/explanation/interop.md``.

``make interop`` runs this package. It needs the package indexes, and Node.js for some clients.

- :mod:`.peers` lists the clients, and installs each into an environment of its own in ``.interop``.
- ``clients/`` has a program for each. It runs one turn and prints its result as JSON.
- :mod:`.turns` says what the result of each turn must be.
- :mod:`.report` writes the table.
"""

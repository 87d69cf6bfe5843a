"""CPU time of an import, which every start of a program pays.

Each round imports ``trio_realtime``, and then ``agents.realtime`` of openai-agents, in new processes. CPU
time is that of the import statement, without the start of Python. The compiled files exist and the files are
in the cache of the system, because a round without clock comes first.

``modules`` is the number of modules that an import loads, and ``memory`` the growth of the resident memory.
Modules that are imported only when they are used, such as the local server, are not measured.
"""

from __future__ import annotations

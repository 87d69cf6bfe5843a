"""The clients of other projects: how each is installed and run."""

from __future__ import annotations

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

from benchmarks.environment import PythonEnvironment
from benchmarks.install import install
from benchmarks.processes import client_environment, run

from . import processes

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = Path(__file__).resolve().parent / "clients"
ENVIRONMENTS = ROOT / ".interop"
GATEWAY_CONFIG = Path(__file__).resolve().parent / "gateway.toml"
_INSTALL_TIMEOUT = 900.0
_LITELLM_CONFIG = """\
model_list:
  - model_name: gpt-realtime-2.1
    litellm_params: {{model: openai/gpt-realtime-2.1, api_base: "{base}", api_key: local}}
    model_info: {{mode: realtime}}
general_settings: {{master_key: sk-local}}
"""


@attrs.frozen
class Peer(ABC):
    """A client of another project.

    Args:
        title: the name in the table.
        package: the package whose version the table shows.
        program: the program in ``clients/``.
        needs_tls: whether the client refuses ``ws`` URLs.
        serve_options: more options of ``trio-realtime serve``.
        through_gateway: whether the client talks to ``trio-realtime gateway``, whose agent has the tool.
    """

    title: str
    package: str
    program: str
    needs_tls: bool = False
    serve_options: Sequence[str] = ()
    through_gateway: bool = False

    @property
    def name(self) -> str:
        """The name on the command line."""
        stem = Path(self.program).stem
        return f"{stem}_gateway" if self.through_gateway else stem

    @property
    def environment(self) -> Path:
        """The directory that the packages are installed in."""
        return ENVIRONMENTS / Path(self.program).stem

    @abstractmethod
    async def install(self) -> str:
        """Install the newest version of the package; return the version.

        Raises:
            CommandFailed: it cannot be installed.
        """

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command that runs the program."""

    @asynccontextmanager
    async def reach(self, url: str) -> AsyncGenerator[str]:
        """Yield the URL that the client connects to, for a server at ``url``."""
        yield gateway_url(url) if self.through_gateway else url


@attrs.frozen
class PythonPeer(Peer):
    """A client in Python.

    Args:
        requirements: what to install; by default the package.
    """

    requirements: Sequence[str] = ()

    @property
    def python(self) -> PythonEnvironment:
        """The environment."""
        return PythonEnvironment(self.environment)

    async def install(self) -> str:
        """Create the environment if there is none, and upgrade the packages in it."""
        await install(self.python, *(self.requirements or (self.package,)))
        version = self.python.version(self.package)
        assert version is not None
        return version

    def command(self) -> list[str]:
        """Return the command that runs the program in the environment."""
        return [self.python.python, str(CLIENTS / self.program)]


@attrs.frozen
class NodePeer(Peer):
    """A client in JavaScript. It needs ``node`` and ``npm``."""

    async def install(self) -> str:
        """Install the newest packages."""
        self.environment.mkdir(exist_ok=True)
        packages = (f"{self.package}@latest", "ws@latest")
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", ".", *packages]
        await run(command, cwd=self.environment, timeout=_INSTALL_TIMEOUT)
        manifest = self.environment / "node_modules" / self.package / "package.json"
        return str(json.loads(manifest.read_text(encoding="utf-8"))["version"])

    def command(self) -> list[str]:
        """Return the command that runs the program. The packages come from the directory."""
        return ["node", str(CLIENTS / self.program)]


@attrs.frozen
class LiteLLMProxy(PythonPeer):
    """The proxy of LiteLLM between this library and the local server."""

    def command(self) -> list[str]:
        """Return the command that runs a session of this library."""
        return [sys.executable, str(CLIENTS / self.program)]

    @asynccontextmanager
    async def reach(self, url: str) -> AsyncGenerator[str]:
        """Run the proxy; yield its URL."""
        base, _, _ = url.replace("ws", "http", 1).partition("/realtime")
        config = self.environment / "config.yaml"
        config.write_text(_LITELLM_CONFIG.format(base=base), encoding="utf-8")
        command = [
            *(str(self.environment / "bin" / "litellm"), "--config", str(config)),
            *("--host", "127.0.0.1", "--port", "0"),
        ]
        # Otherwise it waits for a list of prices from the internet.
        env = client_environment(LITELLM_LOCAL_MODEL_COST_MAP="True")
        async with processes.run_server(
            command, r"running on http://(127\.0\.0\.1:\d+)", cwd=ENVIRONMENTS, env=env
        ) as proxy:
            yield f"ws://{proxy.ready}/v1/realtime?model=gpt-realtime-2.1"


def gateway_url(url: str) -> str:
    """Return the URL of the agent for clients of the OpenAI protocol, for a gateway at ``url``."""
    return f"{url.replace('http', 'ws', 1).rstrip('/')}/v1/realtime?model=assistant"


PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        PythonPeer(
            "openai (Python)", "openai", "openai_python.py", requirements=["openai[realtime]"]
        ),
        PythonPeer(
            "openai (Python, beta)",
            "openai",
            "openai_python_beta.py",
            # The package knows only models of that time.
            serve_options=["--dialect", "beta", "--model", "gpt-4o-realtime-preview"],
            requirements=["openai[realtime]"],
        ),
        NodePeer("openai (npm)", "openai", "openai_node.mjs", needs_tls=True),
        PythonPeer("openai-agents", "openai-agents", "openai_agents_python.py"),
        NodePeer("@openai/agents-realtime", "@openai/agents-realtime", "agents_realtime.mjs"),
        PythonPeer(
            "openai-agents through the gateway",
            "openai-agents",
            "openai_agents_python.py",
            through_gateway=True,
        ),
        NodePeer(
            "@openai/agents-realtime through the gateway",
            "@openai/agents-realtime",
            "agents_realtime.mjs",
            through_gateway=True,
        ),
        PythonPeer("livekit-plugins-openai", "livekit-plugins-openai", "livekit_agents.py"),
        PythonPeer("pipecat-ai", "pipecat-ai", "pipecat_ai.py"),
        LiteLLMProxy(
            "trio_realtime through the proxy of litellm",
            "litellm",
            "trio_realtime_session.py",
            requirements=["litellm[proxy]"],
        ),
    )
}

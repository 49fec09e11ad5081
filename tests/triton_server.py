"""Run a real Triton Inference Server on loopback, from the environment that ``python -m tools.triton_env`` creates.

The environment is ``$VBENCH_TRITON_VENV`` or ``.test_cache/triton``; without it, tests are skipped with the reason. The
server is always stopped, and `stop` checks that none of its processes is left.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.bundle_cache import cache_folder
from tools.triton_env import SERVER

START_LIMIT_S = 60.0
STOP_LIMIT_S = 45.0  # a server waits 30 s for requests in flight
LEFT_LIMIT_S = 5.0  # for its other processes to end, once it has ended
_CLIENT = Path(__file__).with_name("triton_client.py")
_CLIENT_LIMIT_S = 120.0
_TREE = ("lib", "python3.*", "site-packages", "pytriton", "tritonserver")


class ServerError(Exception):
    """The server or its clients failed; the message of a server that did not start ends with the reason in its log."""


class TritonServer(NamedTuple):
    """A running server: ports on 127.0.0.1, and its log."""

    http_port: int
    metrics_port: int
    log: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.http_port}"

    def metrics(self) -> dict[str, float]:
        """Return the values on the metrics endpoint, by name with labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[:1] not in ("", "#")}


class Asked(NamedTuple):
    """A request to a model: uint8 ``[clips, T, H, W, 3]``, parameters, and names of outputs; None: all."""

    model: str
    clips: NDArray[np.uint8]
    parameters: dict[str, object] = {}  # noqa: RUF012 - never modified
    outputs: tuple[str, ...] | None = None


def environment_folder(name: str = SERVER) -> Path:
    """Return where the server's virtual environment is, or another one of the same tool."""
    given = os.environ.get("VBENCH_TRITON_VENV")
    server = Path(given) if given else cache_folder() / SERVER
    return server if name == SERVER else server.with_name(name)


def is_environment(folder: Path) -> bool:
    return (folder / "bin" / "python").exists()


def environment(name: str = SERVER) -> Path:
    """Return an environment; skip the test if there is none."""
    folder = environment_folder(name)
    if not is_environment(folder):
        pytest.skip(f"there is no environment at {folder}; create it with: python -m tools.triton_env")
    return folder


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@contextmanager
def serving(
    repository: Path,
    log: Path,
    venv: Path,
    ports: tuple[int, int] | None = None,
    packages: Path | None = None,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[TritonServer]:
    """Serve a model repository until the block ends.

    Args:
        repository: folder with one subfolder per model.
        log: file for the server's output.
        venv: see `environment`.
        ports: for requests and for metrics; None: free ones.
        packages: environment whose packages the models see; None: ``venv``.
        variables: additional environment variables of the server.

    Raises:
        ServerError: the server ended, or was not ready in time.
    """
    http, metrics = ports or free_ports(2)
    (tree,) = venv.glob("/".join(_TREE))
    command = [
        *(tree / "bin" / "tritonserver", f"--model-repository={repository}"),
        *(f"--backend-directory={tree / 'backends'}", "--disable-auto-complete-config", "--model-load-thread-count=4"),
        *("--http-address=127.0.0.1", f"--http-port={http}", "--reuse-http-port=false", "--allow-grpc=false"),
        *("--metrics-address=127.0.0.1", f"--metrics-port={metrics}"),
    ]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    search = {
        "PATH": f"{(packages or venv) / 'bin'}:{os.environ['PATH']}",  # where the models' Python finds its packages
        "LD_LIBRARY_PATH": f"{sysconfig.get_config_var('LIBDIR')}:{os.environ.get('LD_LIBRARY_PATH', '')}",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(map(str, command)),
            env={**inherited, **search, **variables},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        server = TritonServer(http, metrics, log)
        _wait_until_ready(process, server)
        yield server
    finally:
        stop(process)


def ask(server: TritonServer, requests: Sequence[Asked], folder: Path, clients: int = 1) -> list[dict[str, Any]]:
    """Send requests from a number of concurrent clients, and return the outputs or the error of each.

    ``folder`` receives the files of the process with the clients; see ``triton_client.py``.
    """
    job = {
        "clients": clients,
        "requests": [
            {"model": each.model, "clips": str(number), "parameters": each.parameters, "outputs": each.outputs}
            for number, each in enumerate(requests)
        ],
    }
    arrays = {str(number): each.clips for number, each in enumerate(requests)}
    np.savez(folder / "requests.npz", requests=json.dumps(job), **arrays)  # type: ignore[arg-type]
    script = [environment_folder() / "bin" / "python", _CLIENT, server.address]
    command = [*map(str, script), str(folder / "requests.npz"), str(folder / "responses.npz")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=_CLIENT_LIMIT_S)
    if ended.returncode != 0:
        raise ServerError(f"the clients failed: {ended.stderr}")
    found: list[dict[str, Any]] = [{} for _ in requests]
    with np.load(folder / "responses.npz") as responses:
        for key in responses.files:
            number, _, name = key.partition("/")
            found[int(number)][name] = responses[key]
    return found


def processes_of(session: int) -> list[str]:
    """Return the command lines of the live processes in a session."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, _, _, number = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it has ended in the meantime
                continue
            if int(number) == session and state != "Z":
                found.append(command)
    return found


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server, and fail if it has to be killed or leaves a process behind."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise ServerError(f"the server did not end within {STOP_LIMIT_S:g} s of SIGTERM") from None
    end_s = time.monotonic() + LEFT_LIMIT_S
    while left := processes_of(process.pid):
        if time.monotonic() > end_s:
            os.killpg(process.pid, signal.SIGKILL)
            raise ServerError(f"the server left processes behind: {left}")
        time.sleep(0.05)


def _wait_until_ready(process: subprocess.Popen[bytes], server: TritonServer) -> None:
    end_s = time.monotonic() + START_LIMIT_S
    while not _ready(server):
        if process.poll() is not None:
            raise ServerError(f"the server ended with {process.returncode}: {last_line(server.log)}")
        if time.monotonic() > end_s:
            raise ServerError(f"the server was not ready within {START_LIMIT_S:g} s: {last_line(server.log)}")
        time.sleep(0.05)


def _ready(server: TritonServer) -> bool:
    try:
        with urllib.request.urlopen(f"http://{server.address}/v2/health/ready", timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def last_line(log: Path) -> str:
    """Return the reason for which a model did not load, or the last line of the log."""
    text = log.read_text(errors="replace")
    reasons = re.findall(r"UNAVAILABLE: (.*?) *\|", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return str((reasons or lines or ["(an empty log)"])[-1])

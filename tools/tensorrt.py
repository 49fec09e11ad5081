"""``python -m tools.tensorrt``: build every full-size network's plans with TensorRT-RTX; write docs/tensorrt.md.

TensorRT-RTX parses and builds on a machine without a GPU, for a compute capability. Exports come from the tests' bundle
cache, so that the first run takes long and later ones do not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.full_size import ALL_NETWORKS, FullSize
from vbench.errors import VbenchError
from vbench.files import whole_file
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import Manifest
from vbench.runtime.engines.options import EngineOptions
from vbench.runtime.engines.trt.ahead import build_plans_ahead
from vbench.runtime.engines.trt.flavor import TENSORRT_RTX
from vbench.runtime.engines.trt.precision_check import summary
from vbench.runtime.telemetry.environment import machine

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tensorrt.md"
_START, _END = "<!-- table: written by python -m tools.tensorrt -->\n", "<!-- end of table -->\n"
_HEAD = """\
| network | parts | precision | parsed | built | seconds | plans, MB | remarks |
|---|--:|---|---|---|--:|--:|---|
"""
_CAPABILITY = "89"


@dataclass(frozen=True)
class Row:
    """The plans of a network in one precision."""

    network: str
    parts: int
    precision: str
    parsed: bool
    built: bool
    seconds: float
    megabytes: float
    remarks: str

    def __str__(self) -> str:
        cells = (self.network, self.parts, self.precision, _yes(self.parsed), _yes(self.built))
        return f"| {' | '.join(map(str, cells))} | {self.seconds:.1f} | {self.megabytes:.1f} | {self.remarks} |\n"


def main() -> int:
    """Write the table, and return 1 if a graph was rejected."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", metavar="TEXT", default="", help="only networks whose name contains this text")
    parser.add_argument("--out", type=Path, default=PAGE)
    arguments = parser.parse_args()
    rows = []
    for network in ALL_NETWORKS:
        if arguments.only in network.name:
            for row in _rows(network):
                print(row, end="", file=sys.stderr, flush=True)
                rows.append(row)
    _write(arguments.out, rows)
    return 0 if all(row.built for row in rows) else 1


def _rows(network: FullSize) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["VBENCH_HOME"] = str(Path(folder, "home"))  # not the user's key
        bundle = network.export(Path(folder))
        for precision in bundle.manifest.precisions:
            yield _row(network, bundle, precision)
            shutil.rmtree(bundle.path / "plans", ignore_errors=True)


def _row(network: FullSize, bundle: Bundle[Manifest], precision: str) -> Row:
    title, parts = _title(network, bundle), len(bundle.manifest.parts) - 1
    options = EngineOptions(precision, engine=TENSORRT_RTX.name, slots=network.slots, say=lambda _: None)
    before = time.perf_counter()
    try:
        plans = build_plans_ahead(bundle, options, [_CAPABILITY])
    except VbenchError as error:
        seconds = time.perf_counter() - before
        return Row(title, parts, precision, "cannot load" not in error.message, False, seconds, 0, error.message)
    layers = sum((Counter(plan.plan.layers) for plan in plans), Counter[str]())
    size = sum(plan.plan.record["size_bytes"] for plan in plans) / 1e6
    seconds = sum(plan.seconds for plan in plans)
    return Row(title, parts, precision, True, True, seconds, size, f"layers {summary(layers)}")


def _title(network: FullSize, bundle: Bundle[Manifest]) -> str:
    counts = getattr(bundle.manifest, "frame_counts", ())
    return f"{network.name}, {'/'.join(map(str, counts))} frames" if len(counts) > 1 else network.name


def _yes(value: bool) -> str:
    return "yes" if value else "**no**"


def _write(page: Path, rows: Iterable[Row]) -> None:
    before, _, rest = page.read_text(encoding="utf-8").partition(_START)
    _, _, after = rest.partition(_END)
    found, version = machine(), TENSORRT_RTX.bindings().__version__
    origin = f"TensorRT-RTX {version}, sm_{_CAPABILITY}, {found['processor']}, {found['cores']} cores, no GPU.\n\n"
    with whole_file(page) as temporary:
        table = "".join(map(str, rows))
        temporary.write_text(f"{before}{_START}\n{origin}{_HEAD}{table}\n{_END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

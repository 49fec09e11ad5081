# List the recipes
default:
    @just --list

# Install what the demo needs and run it
demo:
    python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt -e '.[cpu,export,demo]' && .venv/bin/vbench demo

# Install everything, check style and types, run the fast tests
test:
    python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt -e '.[cpu,openvino,export,demo,dev]' && .venv/bin/ruff check && .venv/bin/ruff format --check && .venv/bin/mypy && .venv/bin/pytest

# Run what CI runs: the same, then the slow tests
test-all:
    .ci/run

# Run the fast tests with the newest releases that pyproject.toml permits; only torch is pinned, as pip would pick CUDA
test-newest:
    python3 -m venv .venv-newest && .venv-newest/bin/pip install -q --upgrade 'torch==2.13.0' -e '.[cpu,openvino,export,demo,dev]' && .venv-newest/bin/pip list && .venv-newest/bin/pytest

# Build every full-size network with TensorRT-RTX and write docs/tensorrt.md (installs it)
tensorrt-table *options:
    .venv/bin/pip install -q -c constraints.txt tensorrt-rtx-cu13-libs tensorrt-rtx-cu13-bindings && .venv/bin/python -m tools.tensorrt {{ options }}

# Benchmark the full-size networks and write docs/benchmarks.md (run `just test` first)
bench *options:
    .venv/bin/python -m tools.benchmarks cpu {{ options }}

# Benchmark them with every engine on this machine's GPU and write a record to docs/benchmarks
gpu-check *options:
    .venv/bin/python -m tools.benchmarks gpu {{ options }}

# Run fuzzed inputs, for example for an hour: just fuzz --minutes 60 (run `just test` first)
fuzz *options:
    .venv/bin/python -m tests.fuzz {{ options }}

# Retrain the demo's networks
train-demo:
    .venv/bin/python -m tools.train.frameexit && .venv/bin/python -m tools.train.flexible

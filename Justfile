# List the recipes
default:
    @just --list

# Install what the demo needs and run it
demo:
    python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt -e '.[cpu,export,demo]' && .venv/bin/vbench demo

# Install everything, check style and types, run the fast tests
test:
    python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt -e '.[cpu,openvino,export,demo,dev]' && .venv/bin/ruff check && .venv/bin/ruff format --check && .venv/bin/mypy && .venv/bin/pytest

# The same, then the slow tests, as CI does
test-all:
    .ci/run

# Measure schedules, decoding and precisions against PyTorch in one run (after `just test`)
bench:
    .venv/bin/python -m tools.bench

# Check every engine on this machine's GPU, and record it in docs/benchmarks (after `just test`)
gpu-check:
    .venv/bin/python -m tools.gpu_check

# Train the demo's networks again
train-demo:
    .venv/bin/python -m tools.train.frameexit && .venv/bin/python -m tools.train.flexible

"""The engine that defers calls of parts gives the same values as one that makes them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.fakes_triton import InferenceRequest, InferenceResponse, RefusedError, Tensor, TritonError
from vbench.errors import EngineError
from vbench.export.triton.served.address_set import AddressSet
from vbench.export.triton.served.engine import ServerEngine
from vbench.export.triton.served.parts import Parts
from vbench.runtime.bundle.manifest import PartSpec, TensorSpec

WIDTH, ROWS = 2, 3
Array = NDArray[np.float32]
# Parts with one and two inputs: each output depends on every input, and the parts do not commute.
FORMULAS = {"double": lambda x: 2 * x + 1, "mix": lambda x, y: 3 * x - y}


def spec(inputs: int) -> PartSpec:
    tensor = TensorSpec(name="out", dtype="float32", shape=("n", WIDTH))
    names = [tensor.model_copy(update={"name": f"in{number}"}) for number in range(inputs)]
    return PartSpec(inputs=tuple(names), output=tensor, macs=0, parameters=0, files={})


class Recorder:
    """Runs the formulas as models of a server, and records the rows of each call."""

    def __init__(self, rows: int = 100) -> None:
        self.calls: list[tuple[str, int]] = []
        self.parts = Parts({"double": spec(1), "mix": spec(2)}, {name: f"model_{name}" for name in FORMULAS}, rows)
        InferenceRequest.call = self.answer  # type: ignore[method-assign]

    def answer(self, model: str, outputs: Sequence[str], inputs: Mapping[str, Any]) -> InferenceResponse:
        part = model.removeprefix("model_")
        values = [inputs[name] for name in sorted(inputs)]
        self.calls.append((part, len(values[0])))
        return InferenceResponse([Tensor(outputs[0], FORMULAS[part](*values).astype(np.float32))])


Rows = st.tuples(st.integers(0, 1), st.integers(0, ROWS - 1))  # a buffer and a row
Operation = st.one_of(
    st.tuples(st.just("copy"), Rows, Rows),
    st.tuples(st.just("double"), Rows, st.none() | Rows),
    st.tuples(st.just("mix"), Rows, Rows, st.none() | Rows),
    st.tuples(st.just("get"), Rows),
)


def overlap(*places: tuple[int, int] | None) -> bool:
    given = [place for place in places if place is not None]
    return len(set(given)) < len(given)


class Compared:
    """The same buffers twice: handles of the engine, and values computed at once."""

    def __init__(self, engine: ServerEngine) -> None:
        self.engine = engine
        start = np.arange(ROWS * WIDTH, dtype=np.float32).reshape(ROWS, WIDTH)
        self.values = [start + 100 * number for number in range(2)]
        self.handles = [engine.put(each.copy()) for each in self.values]

    def apply(self, name: str, *places: tuple[int, int] | None) -> None:
        if overlap(*places):
            return  # the engine's interface excludes outputs that overlap inputs
        handles = [self.engine.rows(self.handles[place[0]], place[1], place[1] + 1) for place in places if place]
        values = [self.values[place[0]][place[1] : place[1] + 1] for place in places if place]
        if name == "copy":
            self.engine.copy(*handles)
            np.copyto(values[1], values[0])
        elif name == "get":
            np.testing.assert_array_equal(self.engine.get(handles[0]), values[0])
        elif places[-1] is None:
            self.handles.append(self.engine.run(name, *handles))
            self.values.append(FORMULAS[name](*values).astype(np.float32))
        else:
            self.engine.run(name, *handles[:-1], out=handles[-1])
            np.copyto(values[-1], FORMULAS[name](*values[:-1]))

    def check(self) -> None:
        for handle, array in zip(self.handles, self.values, strict=True):
            np.testing.assert_array_equal(self.engine.get(handle), array)


@settings(max_examples=1000)
@given(st.lists(Operation, max_size=12))
def test_deferring_changes_no_value(operations: list[tuple[Any, ...]]) -> None:
    recorder = Recorder()
    compared = Compared(ServerEngine(recorder.parts))
    for operation in operations:
        compared.apply(*operation)
    compared.check()
    recorder.parts.close()


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), max_size=12), st.integers(0, 20), st.integers(1, 5))
def test_an_address_set_finds_overlaps(places: list[tuple[int, int]], start: int, length: int) -> None:
    memory, addresses = np.zeros(32, np.float32), AddressSet()
    for first, count in places:
        addresses.add(memory[first : first + count])
    used = {place for first, count in places for place in range(first, first + count)}
    assert addresses.overlaps(memory[start : start + length]) == bool(used & set(range(start, start + length)))
    assert addresses._starts == sorted(addresses._starts)
    addresses.clear()
    assert not addresses.overlaps(memory)


def test_calls_of_one_part_share_a_batch_and_large_batches_are_split() -> None:
    recorder = Recorder(rows=3)
    engine = ServerEngine(recorder.parts)
    outputs = [engine.run("double", np.full((1, WIDTH), value, np.float32)) for value in range(5)]
    assert recorder.calls == []
    assert [float(engine.get(output)[0, 0]) for output in outputs] == [1, 3, 5, 7, 9]
    assert recorder.calls == [("double", 3), ("double", 2)]
    recorder.parts.close()


def test_inputs_of_different_sizes_do_not_share_a_batch() -> None:
    recorder = Recorder()
    engine = ServerEngine(recorder.parts)
    for width in (WIDTH, WIDTH + 1):
        engine.run("double", np.zeros((1, width), np.float32), out=engine.zeros((1, width)))
    with pytest.raises(
        EngineError, match=r"the model model_double returned out float32 \[1, 3\] instead of out float32 \[1, 2\]"
    ):
        engine.get(np.zeros(1))
    assert sorted(recorder.calls) == [("double", 1), ("double", 1)]
    recorder.parts.close()


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (InferenceResponse(error=TritonError("out of\nmemory\n\nAt:\n  model.py(3)")), "failed: out of memory; see"),
        (RefusedError("no such model"), "cannot call the model model_double: no such model; see the log"),
    ],
)
def test_a_failed_call_is_an_error_on_one_line(response: InferenceResponse | Exception, words: str) -> None:
    recorder = Recorder()

    def fail(*_: Any) -> InferenceResponse:
        if isinstance(response, Exception):
            raise response
        return response

    InferenceRequest.call = fail  # type: ignore[method-assign]
    engine = ServerEngine(recorder.parts)
    output = engine.run("double", np.zeros((1, WIDTH), np.float32))
    with pytest.raises(EngineError, match=words):
        engine.get(output)
    assert engine.get(output).shape == (1, WIDTH), "what failed is not executed again"
    recorder.parts.specs = {**recorder.parts.specs, "other": spec(1)}
    output = engine.run("other", np.zeros((1, WIDTH), np.float32))
    with pytest.raises(EngineError, match="the repository has no model for the part other"):
        engine.get(output)
    recorder.parts.close()

"""Rewrite depthwise 3D convolutions as sums of 2D convolutions, for ONNX Runtime on a CPU.

ONNX Runtime copies the input of a 3D convolution once per element of the kernel; its 2D depthwise kernels read the
input in place and are 3 to 7 times as fast. Frame ``t`` of the output is the sum, over the kernel's frames ``k``, of 2D
convolutions of frame ``t + k - padding``, so only the order of additions differs. OpenVINO runs the 3D form faster
(Uniformer: 1.2 to 1.4 times), so a bundle has both graphs, which share their weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx
from onnx import helper, numpy_helper, shape_inference

from .check_graph import check_graph
from .onnx_text import int64_vector

_KERNEL_TIME = 2  # axis of a kernel [channels, 1, t, h, w]
_SWAP_CHANNELS_AND_TIME = [0, 2, 1, 3, 4]
Shape = tuple[int, ...]


def with_2d_depthwise(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """Return a copy of ``model`` in which 2D convolutions replace the depthwise 3D convolutions; None if it has none.

    A convolution is replaced if its input has a known size and its output has the same number of frames.
    """
    shapes = _clip_shapes(model)
    kernels = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    for node in model.graph.node:
        if _is_depthwise(node, kernels, shapes):
            convolution = _Depthwise(node, kernels[node.input[1]], shapes[node.input[0]], shapes[node.output[0]])
            nodes += convolution.replacement()
            constants += convolution.constants
        else:
            nodes.append(node)
    if not constants:
        return None
    rewritten = onnx.ModelProto()
    rewritten.CopyFrom(model)
    del rewritten.graph.node[:]
    rewritten.graph.node.extend(nodes)
    rewritten.graph.initializer.extend(constants)
    return check_graph(rewritten)


def _clip_shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    """Return ``[channels, t, h, w]`` of every tensor ``[n, channels, t, h, w]`` whose size is known except for n."""
    graph = shape_inference.infer_shapes(model).graph
    tensors = {value.name: value.type.tensor_type.shape.dim for value in (*graph.input, *graph.value_info)}
    return {
        name: tuple(axis.dim_value for axis in axes[1:])
        for name, axes in tensors.items()
        if len(axes) == len(_SWAP_CHANNELS_AND_TIME) and all(axis.dim_value for axis in axes[1:])
    }


def _is_depthwise(node: onnx.NodeProto, kernels: Mapping[str, Shape], shapes: Mapping[str, Shape]) -> bool:
    if node.op_type != "Conv" or node.input[1] not in kernels or not {node.input[0], node.output[0]} <= shapes.keys():
        return False
    kernel, attributes = kernels[node.input[1]], _attributes(node)
    frames = kernel[_KERNEL_TIME]
    centered = attributes["pads"][0] == frames // 2 and shapes[node.input[0]][1] == shapes[node.output[0]][1]
    one_channel_each = attributes["group"] == kernel[0] == shapes[node.input[0]][0]
    return frames > 1 and centered and one_channel_each and set(attributes["dilations"]) == {1}


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


@dataclass
class _Depthwise:
    """A depthwise 3D convolution, the shape of its kernel, and ``[channels, t, h, w]`` of its input and output."""

    node: onnx.NodeProto
    kernel: Shape
    before: Shape
    after: Shape
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def replacement(self) -> Iterator[onnx.NodeProto]:
        """Yield the nodes that replace the convolution, and collect the ``constants`` that they read."""
        name, frames = self.node.output[0], self.before[1]
        center = self.kernel[_KERNEL_TIME] // 2
        # A frame of the kernel that reads only the padding contributes nothing. The first summand has the bias.
        taps = [tap for tap in range(self.kernel[_KERNEL_TIME]) if abs(tap - center) < frames]
        taps.sort(key=lambda tap: tap != center)
        yield helper.make_node("Transpose", [self.node.input[0]], [f"{name}_in"], perm=_SWAP_CHANNELS_AND_TIME)
        for number, tap in enumerate(taps):
            yield from self._summand(tap, tap - center)
            if number:
                before = f"{name}_sum_{number - 1}" if number > 1 else f"{name}_{taps[0]}_padded"
                yield helper.make_node("Add", [before, f"{name}_{tap}_padded"], [f"{name}_sum_{number}"])
        total = f"{name}_sum_{len(taps) - 1}" if len(taps) > 1 else f"{name}_{taps[0]}_padded"
        yield helper.make_node("Transpose", [total], [name], perm=_SWAP_CHANNELS_AND_TIME)

    def _summand(self, tap: int, offset: int) -> Iterator[onnx.NodeProto]:
        """Yield the nodes that convolve with one frame of the kernel all frames that it reaches."""
        prefix, read = f"{self.node.output[0]}_{tap}", self.before[1] - abs(offset)
        first = max(offset, 0)
        span = [self._constant(f"{prefix}_{name}", value) for name, value in (("first", first), ("last", first + read))]
        images = self._constant(f"{prefix}_images", -1, self.before[0], *self.before[2:])
        clip = self._constant(f"{prefix}_clip", -1, read, self.after[0], *self.after[2:])
        margins = self._constant(f"{prefix}_margins", 0, max(-offset, 0), 0, 0, 0, 0, first, 0, 0, 0)
        axis = self._constant(f"{prefix}_axis", 1)
        yield helper.make_node("Slice", [f"{self.node.output[0]}_in", *span, axis], [f"{prefix}_read"])
        yield helper.make_node("Reshape", [f"{prefix}_read", images], [f"{prefix}_frames"])
        yield from self._convolution(prefix, tap, with_bias=not offset)
        yield helper.make_node("Reshape", [f"{prefix}_out", clip], [f"{prefix}_summand"])
        yield helper.make_node("Pad", [f"{prefix}_summand", margins], [f"{prefix}_padded"])

    def _convolution(self, prefix: str, tap: int, *, with_bias: bool) -> Iterator[onnx.NodeProto]:
        # Engines evaluate the selection once, when they load the graph; both graphs thus share the 3D kernel's file.
        index = numpy_helper.from_array(int64_vector(tap).reshape(()), f"{prefix}_tap")
        self.constants.append(index)
        yield helper.make_node("Gather", [self.node.input[1], index.name], [f"{prefix}_kernel"], axis=_KERNEL_TIME)
        given = _attributes(self.node)
        pads, bias = given["pads"], list(self.node.input[2:]) if with_bias else []
        yield helper.make_node(
            "Conv",
            [f"{prefix}_frames", f"{prefix}_kernel", *bias],
            [f"{prefix}_out"],
            name=f"{self.node.name}_{tap}",
            group=given["group"],
            kernel_shape=self.kernel[_KERNEL_TIME + 1 :],
            strides=given["strides"][1:],
            pads=[*pads[1:3], *pads[4:]],
        )

    def _constant(self, name: str, *values: int) -> str:
        self.constants.append(numpy_helper.from_array(int64_vector(*values), name))
        return name

"""The classes of fuzzed inputs, one module each."""

from __future__ import annotations

from tests.fuzz.case import InputClass
from tests.fuzz.inputs import (
    arrays,
    checkpoints,
    data_sets,
    journals,
    manifests,
    measurements,
    names,
    onnx_files,
    pictures,
    policies,
    run_records,
    tables,
    videos,
)

CLASSES: dict[str, InputClass] = {
    each.name: each
    for each in (
        InputClass("checkpoints", checkpoints.make, 0.2),
        InputClass("manifests", manifests.make, 1.5),
        InputClass("onnx files", onnx_files.make, 0.15),
        InputClass("run records", run_records.make, 2),
        InputClass("journals", journals.make, 1.5),
        InputClass("tables", tables.make, 1),
        InputClass("policies", policies.make, 3),
        InputClass("measurements", measurements.make, 0.1),
        InputClass("data sets", data_sets.make, 2),
        InputClass("pictures", pictures.make, 3),
        InputClass("videos", videos.make, 0.7, 2),
        InputClass("names", names.make, 0.3),
        InputClass("arrays", arrays.make, 0.5, 0),
    )
}

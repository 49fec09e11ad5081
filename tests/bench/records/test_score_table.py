"""The table of probabilities: in row groups, with the best classes only, and its description."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars
import pytest

from tests.compared_runs import row
from vbench.bench.records import journal, score_table
from vbench.bench.records.parquet import read_groups, write_groups, write_table
from vbench.bench.records.score_table import PROBABILITIES, ScoreInfo, read_info, read_scores
from vbench.bench.records.tables import read_predictions, read_probabilities, write_tables
from vbench.bench.records.video_row import VideoRow
from vbench.errors import MissingError, RunError

CATEGORIES = ("a", "b") * 4
INFO = ScoreInfo("sigmoid", CATEGORIES)


def rows() -> list[VideoRow]:
    found = [replace(row(number), label=(number % 8,)) for number in range(10)]
    return [*found, VideoRow("broken", (1,), error="it does not decode")]


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat every table as large, in row groups of three rows."""
    for module in ("score_table", "stored_scores"):
        monkeypatch.setattr(f"vbench.bench.records.{module}.IN_MEMORY", 0)
    monkeypatch.setattr(score_table, "_GROUP_CELLS", 3 * 8)


@pytest.mark.usefixtures("small_groups")
def test_a_large_table_holds_the_same(tmp_path: Path) -> None:
    write_tables(tmp_path, rows(), INFO)
    table = read_probabilities(tmp_path)
    assert table["video"].to_list() == [each.video for each in rows()]
    for found, expected in zip(table["probabilities"], rows()):
        assert found is None if expected.probabilities is None else found.to_list() == expected.probabilities.tolist()
    assert read_info(tmp_path) == INFO
    assert [len(piece) for piece in read_groups(tmp_path / PROBABILITIES, 4, "")] == [4, 4, 3]
    videos = table["video"].to_list()[::-1]
    scores = read_scores(tmp_path, videos, 8, INFO)
    expected = [np.full(8, -1, np.float32), *(each.probabilities for each in rows()[9::-1])]
    np.testing.assert_array_equal(scores.columns(0, 8), np.array(expected))


def test_a_usual_table_has_no_description(tmp_path: Path) -> None:
    write_tables(tmp_path, rows())
    assert score_table._METADATA not in polars.read_parquet_metadata(tmp_path / PROBABILITIES)
    assert read_info(tmp_path) == ScoreInfo()


@pytest.mark.parametrize("large", [False, True])
def test_top_k(tmp_path: Path, large: bool, request: pytest.FixtureRequest) -> None:
    if large:
        request.getfixturevalue("small_groups")
    info = replace(INFO, top_k=3)
    write_tables(tmp_path, rows(), info)
    table = polars.read_parquet(tmp_path / PROBABILITIES)
    assert table.columns == ["video", "classes", "probabilities"]
    for video, each in zip(table.iter_rows(named=True), rows()):
        if each.probabilities is None:
            assert video["classes"] is None
            assert video["probabilities"] is None
            continue
        best = np.argsort(-each.probabilities, kind="stable")[:3]
        assert (video["classes"], video["probabilities"]) == (best.tolist(), each.probabilities[best].tolist())
    assert len(read_predictions(tmp_path)) == len(rows())
    with pytest.raises(
        RunError, match=r"holds only the 3 most probable classes of each video, but mAP needs all of them"
    ):
        read_scores(tmp_path, table["video"].to_list(), 8, read_info(tmp_path))


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"output": "tanh", "categories": null, "top_k": null}', '{"output": "softmax"}',
             '{"output": "sigmoid", "categories": [1], "top_k": null}']
)  # fmt: skip
def test_a_damaged_description(tmp_path: Path, text: str) -> None:
    write_table(tmp_path / PROBABILITIES, polars.DataFrame({"video": ["a"]}), {score_table._METADATA: text})
    with pytest.raises(RunError, match="its metadata is damaged"):
        read_info(tmp_path)


@pytest.mark.parametrize("videos", [["video0000"], [f"other{number}" for number in range(11)]])
def test_a_table_of_other_videos(tmp_path: Path, videos: list[str]) -> None:
    write_tables(tmp_path, rows(), INFO)
    with pytest.raises(RunError, match="does not match the videos of the run"):
        read_scores(tmp_path, videos, 8, INFO)


def test_a_table_of_other_classes(tmp_path: Path) -> None:
    write_tables(tmp_path, rows(), INFO)
    with pytest.raises(RunError, match="does not hold 9 probabilities for every video"):
        read_scores(tmp_path, [each.video for each in rows()], 9, INFO)


def test_a_large_journal_is_read_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in rows():
        journal.append(tmp_path, each)
    place = {each.video: -number for number, each in enumerate(rows())}
    usual = journal.read_all(tmp_path, place)
    monkeypatch.setattr(journal, "_IN_MEMORY", 0)
    found = journal.read_all(tmp_path, place)
    assert not isinstance(found, list)
    assert [each.video for each in found] == [each.video for each in usual] == [each.video for each in rows()][::-1]
    assert [str(each) for each in (found[2], *found[3:5])] == [str(each) for each in usual[2:5]]


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    schema = polars.Schema({"values": polars.List(polars.Float32)})

    def pieces() -> Iterator[polars.DataFrame]:
        rng = np.random.default_rng(0)
        for _ in range(20):
            yield polars.DataFrame({"values": [rng.random(50_000, dtype=np.float32).tolist()]}, schema=schema)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(MissingError, match=r"table\.parquet: no space left on the disk"):
            write_groups(tmp_path / "table.parquet", schema, pieces, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())

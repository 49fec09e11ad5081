"""Explanations match real runs for every kind of policy, and the film strip stays readable."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from tests.videos import save_picture, save_video
from vbench.bench.datasets import load_dataset
from vbench.bench.explain import setup
from vbench.bench.explain.explain import explain
from vbench.bench.explain.explanation import ClassScore, Explanation
from vbench.bench.explain.setup import find_video, load_for_explanation
from vbench.bench.records.run_folder import RunConfig
from vbench.cli.explain import explain as command
from vbench.errors import FrameError, UsageError, VbenchError
from vbench.plots.film.film_strip import film_figure, plot_film
from vbench.plots.film.layout import ordinal, truncate
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FrameExitManifest
from vbench.runtime.inputs.base import NamedClip
from vbench.runtime.load import load
from vbench.runtime.networks.base import Network
from vbench.runtime.policies.base import Evidence, Policy, StepExplanation
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.policies.registry import write_policy
from vbench.runtime.policies.rules import Confidence, Entropy, Fixed, Patience, PerVideo, Random, RunAll
from vbench.runtime.scheduler.options import StreamOptions
from vbench.runtime.video.source import ArrayFrames

SURE = FrameExitPolicy(1.0, (0.0,))
POLICIES: list[Policy] = [
    *(FrameExitPolicy(first, (gate,)) for first in (0.0, 0.22, 1.0) for gate in (0.0, 0.5, 0.55, 1.0)),
    FrameExitPolicy(1.0, (1.0, 1.0, 0.0, 0.5, 0.5, 0.5, 0.5, 0.5)),
    *map(Confidence, (0.2, 0.25, 0.3, 1.0)),
    *map(Entropy, (0.0, 0.98, 1.0)),
    *map(Patience, (1, 2, 4, 10)),
    *map(Fixed, (1, 7, 10)),
    Random((0.1,) * 10, seed=5),
    PerVideo({"clip": 4}),
    PerVideo({"other": 4}),
    RunAll(),
]


@pytest.fixture(scope="module")
def network(tiny_bundle: Bundle[FrameExitManifest]) -> Network:
    return load(tiny_bundle.path, "ort")


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (23, 40, 52, 3), dtype=np.uint8)


@pytest.mark.parametrize("everything", [False, True])
def test_explanation_matches_a_run(network: Network, frames: np.ndarray, everything: bool) -> None:
    exits = set()
    for policy in POLICIES:
        real = network.with_policy(policy)
        (result,) = real.stream([NamedClip("clip", frames)], StreamOptions())
        assert result.prediction is not None
        found = explain(real, NamedClip("clip", frames), everything=everything)
        exits.add(found.exit_step)
        assert found.exit_step == result.prediction.exit_step, policy
        assert found.answer.label == result.prediction.label, policy
        assert found.answer.probability == result.prediction.probabilities[result.prediction.label], policy
        assert len(found.steps) == (10 if everything else found.exit_step)
        assert found.policy == policy.record()
        for look, step in zip(found.steps, result.steps):
            assert step.gate in (None, look.gate), policy
        if isinstance(policy, FrameExitPolicy):
            compared = tuple(look.decision.value for look in found.steps[: len(result.scores)])
            assert compared == result.scores
            unnamed = real.predict(frames)
            assert (unnamed.exit_step, unnamed.label) == (found.exit_step, found.answer.label)
    assert len(exits) >= 5  # otherwise the policies would be a weak test


def test_frames_match_those_read_by_the_network(network: Network, frames: np.ndarray) -> None:
    read: list[int] = []

    class Noting(ArrayFrames):
        def read(self, position: int) -> np.ndarray:
            read.append(position)
            return super().read(position)

    found = explain(network.with_policy(Fixed(4)), lambda: Noting(frames))
    assert [look.position for look in found.steps] == read
    assert len(read) == 4  # exactly the frames a run reads
    order = network.bundle.manifest.frame_order
    assert [look.place for look in found.steps] == [order[step] + 1 for step in range(4)]
    for look in found.steps:
        np.testing.assert_array_equal(look.picture, frames[look.position])
    assert found.length == 23
    assert found.sampled == 10


def test_a_policy_sees_only_requested_evidence(network: Network, frames: np.ndarray) -> None:
    class Picky(RunAll):
        def __init__(self) -> None:
            self.seen: list[Evidence] = []

        def needs_logits(self, step: int) -> bool:
            return step % 2 == 0

        def needs_gate(self, step: int) -> bool:
            return step > 5

        def exits(self, evidence: Evidence) -> bool:
            self.seen.append(evidence)
            return evidence.step == 8

    run, told = Picky(), Picky()
    network.with_policy(run).predict(frames)
    explain(network.with_policy(told), frames)
    assert len(run.seen) == 8
    assert told.seen == run.seen


def test_large_frames_are_scaled_down(network: Network) -> None:
    found = explain(network.with_policy(Fixed(1)), np.zeros((3, 900, 700, 3), np.uint8))
    assert found.steps[0].picture.shape == (320, 249, 3)


def test_top_classes_and_correctness(network: Network, frames: np.ndarray) -> None:
    unknown = explain(network.with_policy(SURE), frames)
    assert [guess.right for guess in unknown.steps[0].top] == [None] * 3
    assert unknown.true_classes is None
    second = unknown.answer._replace(right=False)
    label = unknown.steps[unknown.exit_step - 1].top[1].label
    found = explain(network.with_policy(SURE), frames, classes=(label,))
    assert found.answer == second
    assert found.steps[-1].top[1].right
    assert found.true_classes == (f"class {label}",)
    probabilities = [guess.probability for guess in found.steps[0].top]
    assert probabilities == sorted(probabilities, reverse=True)


@pytest.mark.parametrize(
    ("policy", "evidence", "said"),
    [
        (
            FrameExitPolicy(0.95),
            Evidence(1, confidence=0.9),
            StepExplanation(False, "confidence 0.90 ≤ 0.95", 0.9, 0.95),
        ),
        (FrameExitPolicy(0.95), Evidence(2, gate=0.83), StepExplanation(True, "gate 0.83 > 0.5", 0.83, 0.5)),
        (FrameExitPolicy(0.95), Evidence(3, gate=0.5), StepExplanation(False, "gate 0.50 ≤ 0.5", 0.5, 0.5)),
        (FrameExitPolicy(0.95), Evidence(3, gate=0.5004), StepExplanation(True, "gate 0.5004 > 0.5", 0.5004, 0.5)),
        (FrameExitPolicy(0.95), Evidence(3), StepExplanation(False, "no gate")),
        (Confidence(0.7), Evidence(5, confidence=0.8), StepExplanation(True, "confidence 0.80 > 0.7", 0.8, 0.7)),
        (Entropy(0.2), Evidence(2, entropy=0.1), StepExplanation(True, "entropy 0.10 < 0.2", 0.1, 0.2)),
        (Entropy(0.2), Evidence(2, entropy=0.2), StepExplanation(False, "entropy 0.20 ≥ 0.2", 0.2, 0.2)),
        (Patience(3), Evidence(4, labels=(1, 2, 1, 1)), StepExplanation(False, "same answer 2 of 3")),
        (Patience(2), Evidence(2, labels=(1, 1)), StepExplanation(True, "same answer 2 of 2")),
        (Fixed(6), Evidence(3), StepExplanation(False, "step 3 of 6")),
        (PerVideo({"clip": 3}), Evidence(3, video="clip"), StepExplanation(True, "step 3, planned 3")),
        (PerVideo({"clip": 3}), Evidence(3, video="other"), StepExplanation(False, "no step planned")),
        (RunAll(), Evidence(3), StepExplanation(False, "everything")),
    ],
)
def test_rules_in_words(policy: Policy, evidence: Evidence, said: StepExplanation) -> None:
    assert policy.explain(evidence) == said


def test_a_nan_is_on_neither_side() -> None:
    said = Entropy(0.5).explain(Evidence(2, entropy=float("nan")))
    assert (said.ends, said.text) == (False, "entropy is not a number")


def test_a_draw_is_compared_with_the_cumulative_share() -> None:
    said = Random((0.5, 0.5)).explain(Evidence(1, video="clip"))
    assert said.text.startswith("draw 0.")
    assert said.threshold == 0.5


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.texts]


def test_the_strip_marks_the_exit(network: Network, frames: np.ndarray) -> None:
    found = explain(network.with_policy(SURE), NamedClip("clip", frames))
    figure = film_figure(found)
    assert found.exit_step == 2
    assert f"exit: {found.steps[1].decision.text}" in texts(figure)
    assert {"step 1", "step 2", "clip"} <= set(texts(figure))
    assert not any("not seen" in text for text in texts(figure))
    framed = [patch for axes in figure.axes for patch in axes.patches if patch.get_linewidth() > 3]
    assert len(framed) == 1
    whole = film_figure(explain(network.with_policy(SURE), NamedClip("clip", frames), everything=True))
    assert [text for text in texts(whole) if "not seen" in text] == [f"step {step} (not seen)" for step in range(3, 11)]
    assert whole.get_figheight() > figure.get_figheight()


def test_right_answers_have_a_mark(network: Network, frames: np.ndarray) -> None:
    label = explain(network, frames).answer.label
    right = texts(film_figure(explain(network, frames, classes=(label,))))
    wrong = texts(film_figure(explain(network, frames, classes=((label + 1) % 5,))))
    assert f"✓ class {label}" in right
    assert any("right" in text for text in right)
    assert any("wrong" in text for text in wrong)


def long_names(found: Explanation, name: str) -> Explanation:
    looks = tuple(
        replace(look, top=tuple(ClassScore(1, name, guess.probability, True) for guess in look.top))
        for look in found.steps
    )
    return replace(found, steps=looks, video=f"{name}/" * 9 + "end.mp4", true_classes=(name, name))


@pytest.mark.parametrize(
    ("steps", "shape"),
    [(1, (4, 40, 52)), (1, (9, 320, 60)), (3, (4, 30, 320)), (3, (5, 1, 1)), (10, (1, 40, 52)), (10, (2, 40, 52))],
)
def test_nothing_leaves_the_page(network: Network, steps: int, shape: tuple[int, int, int]) -> None:
    found = explain(network.with_policy(Fixed(steps)), np.zeros((*shape, 3), np.uint8))
    figure = film_figure(long_names(found, "playing $\\alpha_b$ and _another_ WWWWWWWWWWWWWWW instrument"))
    figure.draw_without_rendering()
    width, height = figure.get_size_inches() * figure.dpi
    for text in [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]:
        box = text.get_window_extent()
        assert box.x0 >= 0, text
        assert box.x1 <= width, text
        assert box.y0 >= 0, text
        assert box.y1 <= height, text
    assert "end.mp4" in figure.texts[0].get_text()
    assert any("$\\alpha" in text for text in texts(figure))
    assert any(text.endswith("…") for text in texts(figure))


@pytest.mark.filterwarnings("error")
def test_the_strip_is_written_atomically(network: Network, frames: np.ndarray, tmp_path: Path) -> None:
    found = long_names(explain(network.with_policy(SURE), frames), "$x_1$")
    first, second = (plot_film(found, tmp_path / name) for name in ("a.png", "b.png"))
    assert [path.suffix for path in first] == [".png", ".svg", ".pdf"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert "$x_1$" in first[1].read_text()


def test_texts_are_truncated_to_fit() -> None:
    assert truncate("short", 2, 7) == "short"
    assert truncate("a\nb", 2, 7) == "a b"
    assert truncate("a long name of a class", 0.5, 7).endswith("…")
    assert truncate("/a/long/path/to/a/video.mp4", 0.8, 7, keep_end=True).endswith(".mp4")
    assert truncate("wide", 0.01, 7) == "…"
    assert [ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)] == [
        *("1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th")
    ]


def test_videos_of_a_data_set() -> None:
    demo = load_dataset("demo")
    assert find_video(demo, "digit_0003").classes == (3,)
    with pytest.raises(UsageError, match=r"demo has no video 'digit_3'; choose a video such as digit_"):
        find_video(demo, "digit_3")


def test_only_a_frameexit(monkeypatch: pytest.MonkeyPatch) -> None:
    other = SimpleNamespace(manifest=SimpleNamespace(family="frame_counts"))
    monkeypatch.setattr(setup, "open_bundle", lambda _: other)
    with pytest.raises(UsageError, match="bundles/tsm is not a FrameExit bundle and cannot be explained"):
        load_for_explanation(RunConfig("bundles/tsm"), with_dataset=False)


def called(*args: object) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_the_command_prints_a_table_and_paths(tiny_bundle: Bundle, tmp_path: Path) -> None:
    video = save_video(tmp_path / "video.mp4")
    out = tmp_path / "film.png"
    ended = called(video, "--bundle", tiny_bundle.path, "--first-threshold", 1, "--gate-threshold", 0, "-o", out)
    assert ended.exit_code == 0, ended.output
    lines = ended.stdout.splitlines()
    assert lines[0] == str(video)
    assert lines[3].split() == ["step", "frame", "rule", "class", "probability"]
    assert lines[5].startswith("exit     2")
    assert lines[-3:] == [str(out.with_suffix(suffix)) for suffix in (".png", ".svg", ".pdf")]


def test_the_command_prints_one_document(tiny_bundle: Bundle, tmp_path: Path) -> None:
    for number in range(12):
        save_picture(tmp_path / "frames" / f"{number:03d}.png", level=number)
    write_policy(tmp_path / "policy.json", Fixed(3), {})
    args = ("--policy", tmp_path / "policy.json", "--all", "--json", "-o", tmp_path / "film")
    ended = called(tmp_path / "frames", "--bundle", tiny_bundle.path, *args)
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.stdout)
    assert found["exit_step"] == 3
    assert found["policy"] == {"kind": "fixed", "steps": 3}
    assert [look["looked_at"] for look in found["looks"]] == [True] * 3 + [False] * 7
    assert found["answer"] == found["looks"][2]["top"][0]
    assert len(found["figures"]) == 3


@pytest.mark.parametrize(
    ("video", "options", "kind", "words"),
    [
        ("none.mp4", (), FrameError, "none.mp4 does not exist"),
        ("broken.mp4", (), FrameError, "cannot open"),
        ("key", ("--dataset", "folder"), VbenchError, "data set 'folder'"),
        ("key", ("--data", "videos"), UsageError, "--data can be used only with --dataset"),
        ("key", ("--policy", "none.json"), UsageError, "cannot read none.json"),
        ("key", ("--gate-threshold", "x"), UsageError, "not a number"),
    ],
)
def test_errors_are_one_line(
    tiny_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    video: str,
    options: tuple[str, ...],
    kind: type[VbenchError],
    words: str,
) -> None:
    monkeypatch.delenv("VBENCH_DATA", raising=False)
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 100)
    monkeypatch.chdir(tmp_path)
    ended = called(video, "--bundle", tiny_bundle.path, *options)
    assert isinstance(ended.exception, kind)
    assert words in str(ended.exception)
    assert "\n" not in str(ended.exception)
    assert not list(tmp_path.glob("film*"))


def test_help_has_an_example() -> None:
    assert "Example: vbench explain" in called("--help").stdout

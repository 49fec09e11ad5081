"""``vbench compare``: thresholds and output formats."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.compared_runs import BUSY, CONFIG, IDLE, compared, failed, make_run, noisy, row
from vbench.bench.compare.compare import Comparison
from vbench.bench.compare.fail_if import check_thresholds, parse_threshold
from vbench.cli.compare import compare as compare_command
from vbench.errors import CheckError, UsageError
from vbench.runtime.engines.options import EngineOptions

# thresholds


@pytest.fixture(scope="module")
def worse(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Top-1 drops by 2 points (5 of 250 videos), latency rises from 10 to 11 ms, frames from 2 to 3."""
    before = [row(number) for number in range(250)]
    after = [row(number, number % 50 != 0, 11.0, frames=3) for number in range(250)]
    return compared(tmp_path_factory.mktemp("runs"), before, after)


@pytest.mark.parametrize(
    ("limit", "fails"),
    [
        ("top1:-1.9", True),
        ("top1:-2", False),
        ("top1:-2.0", False),
        ("top1:-0", True),
        ("top1:+0", False),
        ("top5:-1.99", True),
        ("top5:-3", False),
        ("p50:+9.9%", True),
        ("p50:+10%", False),
        ("p50:+10.1%", False),
        ("p50:-5%", False),
        ("p50:+.9ms", True),
        ("p50:+1ms", False),
        ("p90:+0.999ms", True),
        ("mean:+1.5ms", False),
        ("mean:+5%", True),
        ("frames:+49%", True),
        ("frames:+50%", False),
        ("gmacs:+49%", True),
        ("gmacs:+51%", False),
        ("videos_per_s:-8%", True),
        ("videos_per_s:-9%", False),
        ("videos_per_s:+0%", False),
    ],
)
def test_thresholds(worse: Comparison, limit: str, fails: bool) -> None:
    (checked,) = check_thresholds([parse_threshold(limit)], worse)
    assert checked.failed is fails


def test_a_difference_equal_to_the_limit_is_allowed(worse: Comparison) -> None:
    top1 = replace(worse.quantities[0], before=73.5, after=73.0, difference=100 * (0.73 - 0.735))
    assert top1.difference < -0.5
    (checked,) = check_thresholds([parse_threshold("top1:-0.5")], replace(worse, quantities=(top1,)))
    assert not checked.failed


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("top2:-1", "unknown metric 'top2'; choose one of top1, top5, map, frames, gmacs, mean, p50"),
        ("top1", "is not of the form NAME:LIMIT; write, for example, top1:-0.5, p99:"),
        ("top1:-x", "is not of the form NAME:LIMIT"),
        ("top1:--1", "is not of the form NAME:LIMIT"),
        ("p50:+nan%", "is not of the form NAME:LIMIT"),
        ("top1:0.5", "the limit has no sign; write - to fail on a drop"),
        ("top1:-0.5%", "'-0.5%' is not a valid limit for top1; write top1:-0.5$"),
        ("p50:+5", r"'\+5' is not a valid limit for p50; write p50:\+5% or p50:\+5ms"),
        ("p50:+5s", r"'\+5s' is not a valid limit for p50"),
        ("frames:+1ms", r"'\+1ms' is not a valid limit for frames; write frames:\+1%$"),
        (
            "p99:+5%",
            r"these runs have no p99 \(it needs 662 videos .* but there are 250\); choose one of top1, top5, frames",
        ),
        ("map:-1", r"these runs have no map \(the metric of folder is top1\)"),
    ],
)
def test_invalid_thresholds(worse: Comparison, limit: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as ended:
        check_thresholds([parse_threshold(limit)], worse)
    assert str(ended.value).startswith(f"--fail-if {limit}: ")
    assert "\n" not in str(ended.value)


# the command


def command(*args: str | Path) -> Result:
    app = typer.Typer()
    app.command()(compare_command)
    return CliRunner().invoke(app, list(map(str, args)))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("runs")
    before = [row(number) for number in range(100)]
    after = [row(number, number % 10 != 0, 11.0, frames=2 + (number < 7)) for number in range(100)]
    after[99] = failed(99)
    config = replace(CONFIG, engine=EngineOptions("int8", threads=1))
    odd = {"name": "a|b`c`<i>", "network": "frameexit", "sha256": "0"}
    return make_run(folder / "main", before), make_run(folder / "my_branch", after, config=config, bundle=odd)


def test_text(runs: tuple[Path, Path]) -> None:
    said = command(*runs, "--fail-if", "p50:+1ms")
    assert (said.exit_code, said.stderr) == (0, "")
    lines = said.stdout.splitlines()
    assert lines[0] == f"before  {runs[0]}: tiny, ort fp32, frameexit first=0.95 gate=0.5"
    assert lines[3].split() == ["before", "after", "difference", "95", "%", "interval", "verdict"]
    assert lines[4].startswith("top-1         100.00 %   89.00 %  -11.00 points   -18.00 .. ")
    assert lines[4].endswith("WORSE")
    assert len({line.rindex("  ") for line in lines[4:12]}) == 1, "verdicts stand in a column"
    assert "100 videos of folder: 11 changed class, 8 changed exit step" in lines
    assert "top-1: 11 right only before, 0 right only after (McNemar p = 0.000977)" in lines
    assert "Times were measured under different settings (before / after): threads 2 / 1" in lines
    assert any(line.startswith("Without an answer: 0 videos only before, 1 only after;") for line in lines)
    assert lines[-1] == "ok: p50 rose by 1 ms, within p50:+1ms (the interval excludes zero)"


MARKDOWN = """\
- before: **main**, tiny, ort fp32, frameexit first=0.95 gate=0.5
- after: **my\\_branch**, a\\|b\\`c\\`&lt;i&gt;, ort int8, frameexit first=0.95 gate=0.5

|  | before | after | difference | 95 % interval | verdict |
| --- | ---: | ---: | ---: | ---: | --- |
| top-1 | 100.00 % | 89.00 % | -11.00 points | -18.00 .. -5.00 | WORSE |
| top-5 | 100.00 % | 89.00 % | -11.00 points | -18.00 .. -5.00 | WORSE |
"""


def test_markdown(runs: tuple[Path, Path]) -> None:
    said = command(*runs, "--markdown")
    assert (said.exit_code, said.stderr) == (0, "")
    assert said.stdout.startswith(MARKDOWN)
    table = [line for line in said.stdout.splitlines() if line.startswith("|")]
    assert table[4] == "| mean frames | 2.00 | 2.07 | +3.54 % | +1.52 .. +6.06 | WORSE |"
    assert [line.split(" | ")[0] for line in table[5:]] == [
        "| GMACs",
        "| latency mean",
        "| latency p50",
        "| latency p90",
        "| videos/s",
    ]
    assert {line.count(" | ") for line in table} == {5}
    assert "- top-1: 11 right only before, 0 right only after (McNemar p = 0.000977)" in said.stdout


def test_json(runs: tuple[Path, Path]) -> None:
    said = command(*runs, "--json", "--fail-if", "p90:+50%")
    found = json.loads(said.stdout)
    assert (said.exit_code, said.stderr, found["level"]) == (0, "", 0.95)
    assert (found["before"]["run"], found["after"]["precision"]) == (str(runs[0]), "int8")
    top1 = found["quantities"][0]
    assert (top1["name"], top1["difference"], top1["difference_unit"]) == ("top1", -11, "points")
    assert top1["interval"][0] < -11 < top1["interval"][1]
    assert top1["discordant"]["only_before"] == 11
    assert found["unanswered"] == {"only_before": 0, "only_after": 1, "both": 0}
    assert set(found["absent"]) == {"map", "p99"}
    (limit,) = found["limits"]
    assert (limit["limit"], limit["failed"], limit["interval_includes_zero"]) == ("p90:+50%", False, False)


@pytest.mark.parametrize("form", [(), ("--markdown",), ("--json",)])
def test_a_failed_threshold_is_reported_after_the_table(runs: tuple[Path, Path], form: tuple[str, ...]) -> None:
    limits = ("top1:-0.5", "p50:+20%", "p50:+0.5ms")
    said = command(*runs, *form, *(word for limit in limits for word in ("--fail-if", limit)))
    assert isinstance(said.exception, CheckError)
    assert said.exception.exit_code == 4
    assert said.exception.message == (
        "top1 fell by 11 points, more than top1:-0.5 (the interval excludes zero), "
        "p50 rose by 1 ms, more than p50:+0.5ms (the interval excludes zero)"
    )
    if form == ("--json",):
        assert [limit["failed"] for limit in json.loads(said.stdout)["limits"]] == [True, False, True]
    else:
        assert said.stdout.count("FAILED: ") == 2
        assert said.stdout.count("ok: ") == 1


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a run on an idle machine, and one with a competing process, in which latency rises from 10 to 11 ms."""
    folder = tmp_path_factory.mktemp("runs")
    before, after = ([row(number, latency_ms=each) for number in range(100)] for each in (10.0, 11.0))
    return make_run(folder / "idle", before, host=IDLE), make_run(folder / "busy", after, host=BUSY)


def test_conditions(disturbed: tuple[Path, Path]) -> None:
    said = command(*disturbed)
    lines = said.stdout.splitlines()
    assert [line.split()[-1] for line in lines[4:12]] == [*4 * ["SAME"], *4 * ["UNSTABLE"]]
    assert "Conditions of the measurements: VALID before, UNSTABLE after" in lines
    assert (
        "Times that differ are UNSTABLE instead of BETTER or WORSE "
        "(after: other processes used 0.92 of 2 CPUs, limit 0.20)" in lines
    )
    found = json.loads(command(*disturbed, "--json").stdout)
    assert found["unstable"] == ["after: other processes used 0.92 of 2 CPUs, limit 0.20"]
    assert found["after"]["conditions"] == {
        "verdict": "UNSTABLE",
        "reasons": ["other processes used 0.92 of 2 CPUs, limit 0.20"],
        "videos": 100,
        "other_share": 0.46,
    }


def test_a_limit_on_an_unstable_time_is_not_decided_but_does_not_pass(disturbed: tuple[Path, Path]) -> None:
    said = command(*disturbed, "--fail-if", "p50:+5%", "--fail-if", "p90:+20%", "--fail-if", "frames:+1%")
    assert isinstance(said.exception, CheckError)
    assert said.exception.exit_code == 4
    because = "(the interval excludes zero; not decided: the conditions were UNSTABLE)"
    assert str(said.exception) == f"p50 rose by 10 %, more than p50:+5% {because}; repeat both runs on an idle machine"
    assert said.stdout.splitlines()[-3:] == [
        f"UNDECIDED: p50 rose by 10 %, more than p50:+5% {because}",
        "ok: p90 rose by 10 %, within p90:+20% (the interval excludes zero; the conditions were UNSTABLE)",
        "ok: frames did not change, within frames:+1% (the interval includes zero)",
    ]
    limits = json.loads(command(*disturbed, "--json", "--fail-if", "p50:+5%", "--fail-if", "gmacs:-1%").stdout)[
        "limits"
    ]
    assert [(limit["failed"], limit["unstable"]) for limit in limits] == [(True, True), (False, False)]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--json", "--markdown"), "--json and --markdown are mutually exclusive; pass only one of them"),
        (("--fail-if", "p99:+5%"), "these runs have no p99"),
        (("--fail-if", "speed:+5%"), "unknown metric 'speed'"),
    ],
)
def test_errors(runs: tuple[Path, Path], args: tuple[str, ...], words: str) -> None:
    said = command(*runs, *args)
    assert isinstance(said.exception, UsageError)
    assert words in str(said.exception)
    assert said.stdout == "", "nothing is printed before a mistake is told"


# drift


@pytest.fixture(scope="module")
def drifting(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """All of 150 videos exit at step 2; later, all of 150 others at step 3, and one fails."""
    folder = tmp_path_factory.mktemp("drift")
    before = noisy(150)
    after = [replace(row(number, frames=3), video=f"a|b{number}") for number in range(149)]
    return make_run(folder / "main", before), make_run(folder / "my_branch", [*after, failed(150)])


def test_drift_text(drifting: tuple[Path, Path]) -> None:
    said = command("--drift", *drifting)
    assert (said.exit_code, said.stderr) == (0, "")
    lines = said.stdout.splitlines()
    assert lines[0] == (f"reference {drifting[0]}: tiny, ort fp32, frameexit first=0.95 gate=0.5; 150 videos of folder")
    assert lines[3].split() == [
        *("reference", "today", "change", "95", "%", "interval", "effect", "at", "most", "p", "verdict"),
    ]
    assert [line[:25].rstrip() for line in lines[4:9]] == [
        *("exit step", "confidence at decisions", "gate values", "confidence of predictions", "error rate"),
    ]
    assert lines[4].split() == [
        *("exit", "step", "2.00", "frames", "3.00", "frames", "+1.00", "frames", "+1.00", "..", "+1.00"),
        *("1.00", "1.00", "0.005", "DRIFT"),
    ]
    assert lines[8].endswith("UNDECIDED")
    assert (
        "exit step: largest difference at 2 frames; 100.0 % of the reference and 0.0 % of today lie at or below it"
        in lines
    )
    assert lines[-1] == "DRIFT: exit step"


def test_drift_markdown(drifting: tuple[Path, Path]) -> None:
    said = command("--drift", *drifting, "--markdown")
    assert (said.exit_code, said.stderr) == (0, "")
    lines = said.stdout.splitlines()
    assert lines[1] == ("- today: **my\\_branch**, tiny, ort fp32, frameexit first=0.95 gate=0.5; 150 videos of folder")
    table = [line for line in lines if line.startswith("|")]
    assert table[1] == "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    assert table[2].startswith("| exit step | 2.00 frames | 3.00 frames | +1.00 frames | ")
    assert {line.count(" | ") for line in table} == {8}
    assert lines[-1] == "- DRIFT: exit step"


def test_drift_json(drifting: tuple[Path, Path]) -> None:
    found = json.loads(command("--drift", *drifting, "--json").stdout)
    assert (found["verdict"], found["videos"], found["errors"], found["level"]) == ("DRIFT", [150, 150], [0, 1], 0.95)
    exit_step = found["rows"][0]
    assert (exit_step["name"], exit_step["effect"], exit_step["verdict"]) == ("exit_step", 1, "DRIFT")
    assert exit_step["gap"] == {"value": 2, "reference": 100, "today": 0}
    assert found["rows"][-1]["gap"] is None


@pytest.mark.parametrize("form", [(), ("--markdown",), ("--json",)])
def test_a_drift_fails_after_the_table(drifting: tuple[Path, Path], form: tuple[str, ...]) -> None:
    said = command("--drift", *drifting, "--fail-if-drift", *form)
    assert isinstance(said.exception, CheckError)
    assert said.exception.exit_code == 4
    assert said.exception.message == "drift of exit step"
    assert "DRIFT" in said.stdout


def test_too_few_videos_and_absent_rows_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [replace(row(number), scores=()) for number in range(3)])
    said = command("--drift", run, run, "--fail-if-drift")
    assert (said.exit_code, said.stderr) == (0, "")
    lines = said.stdout.splitlines()
    assert "No gate values: no video has one under the policy frameexit first=0.95 gate=0.5" in lines
    assert any(line.startswith("Videos with the same name in both runs: 3; ") for line in lines)
    assert lines[-1] == "UNDECIDED: too few videos to decide on confidence of predictions, error rate"


def test_only_a_drift_fails(drifting: tuple[Path, Path]) -> None:
    said = command("--drift", drifting[0], drifting[0], "--fail-if-drift")
    assert (said.exit_code, said.stderr) == (0, "")
    assert said.stdout.splitlines()[-1] == "NO DRIFT"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--drift", "--fail-if", "top1:-1"), "--fail-if does not apply to --drift; pass --fail-if-drift"),
        (("--fail-if-drift",), "--fail-if-drift needs --drift; add --drift, or pass --fail-if NAME:LIMIT"),
        (("--drift", "--json", "--markdown"), "--json and --markdown are mutually exclusive; pass only one of them"),
    ],
)
def test_drift_option_errors(drifting: tuple[Path, Path], args: tuple[str, ...], words: str) -> None:
    said = command(*drifting, *args)
    assert isinstance(said.exception, UsageError)
    assert words in str(said.exception)
    assert said.stdout == ""

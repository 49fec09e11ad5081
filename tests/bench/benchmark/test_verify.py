from __future__ import annotations

from collections import Counter
from dataclasses import replace

from tests.benches import EARLY, EVERY, INT8, ORIGINAL, result, row, turn
from vbench.bench.benchmark.results import Check, ContenderResult
from vbench.bench.benchmark.turn import Turn, TurnRequest
from vbench.bench.benchmark.verify import same_in_every_turn, verify_contender

CLIPS = 12


def measured(contender: object = EARLY) -> ContenderResult:
    return result(contender, [10.0], videos=CLIPS)  # type: ignore[arg-type]


def same(request: TurnRequest) -> Turn:
    """Return the answers of the warm-up turn, whatever is asked."""
    return turn([row(clip, 10.0, answer=clip % 2) for clip in request.clips])


def outcome(checks: list[Check]) -> dict[str, bool]:
    return {check.name: check.passed for check in checks}


def test_a_contender_without_faults_passes_every_check() -> None:
    assert outcome(verify_contender(same, measured(), CLIPS, thorough=False)) == {
        "order of clips": True,
        "schedule: in flight": True,
        "no cached answers": True,
    }
    assert outcome(verify_contender(same, measured(INT8), CLIPS, thorough=False)) == {
        "order of clips": True,
        "schedule: one at a time": True,
        "number of slots: 3": True,
    }


def test_baselines_are_checked_less() -> None:
    for contender in (ORIGINAL, EVERY):
        names = outcome(verify_contender(same, measured(contender), CLIPS, thorough=False))
        assert ("no cached answers" in names) == (contender is ORIGINAL)
        assert ("schedule: in flight" in names) == (contender is EVERY)


def test_only_a_thorough_check_runs_all_clips() -> None:
    for thorough, expected in ((False, 8), (True, CLIPS)):
        requests: list[TurnRequest] = []

        def note(request: TurnRequest, requests: list[TurnRequest] = requests) -> Turn:
            requests.append(request)
            return same(request)

        verify_contender(note, measured(), CLIPS, thorough=thorough)
        assert requests[0].clips == tuple(reversed(range(expected)))


def test_an_answer_that_depends_on_the_order_is_found() -> None:
    def by_place(request: TurnRequest) -> Turn:
        return turn([row(clip, 10.0, answer=place % 2) for place, clip in enumerate(request.clips)])

    found = verify_contender(by_place, measured(), 7, thorough=False)
    assert outcome(found)["order of clips"]  # seven clips reversed keep their parity
    assert not outcome(verify_contender(by_place, measured(), CLIPS, thorough=False))["order of clips"]


def test_an_answer_that_depends_on_the_schedule_is_found() -> None:
    def by_schedule(request: TurnRequest) -> Turn:
        return turn([row(clip, 10.0, answer=clip % 2, step=3 + bool(request.slots)) for clip in request.clips])

    found = verify_contender(by_schedule, measured(), CLIPS, thorough=False)
    assert outcome(found)["order of clips"]
    assert not outcome(found)["schedule: in flight"]
    assert next(check for check in found if not check.passed).detail == "8 of 8 answers changed (video_0)"


def test_a_cache_is_found() -> None:
    def cached(request: TurnRequest) -> Turn:
        before = (None, *request.clips)
        return turn(
            [row(clip, 0.1 if clip == last else 10.0, answer=clip % 2) for clip, last in zip(request.clips, before)]
        )

    found = verify_contender(cached, measured(), CLIPS, thorough=False)
    assert not outcome(found)["no cached answers"]


def test_one_delay_by_other_load_is_no_cache() -> None:
    calls: Counter[tuple[int, ...]] = Counter()

    def delayed(request: TurnRequest) -> Turn:
        calls[request.clips] += 1
        first = calls[request.clips] == 1
        rows = [row(clip, 50.0 if first and place < 10 else 10.0, answer=clip % 2)
                for place, clip in enumerate(request.clips)]  # fmt: skip
        return turn(rows)

    assert outcome(verify_contender(delayed, measured(), CLIPS, thorough=False))["no cached answers"]


def test_a_single_clip_cannot_be_checked_for_a_cache() -> None:
    one = result(EARLY, [10.0], videos=1)
    assert "no cached answers" not in outcome(verify_contender(same, one, 1, thorough=False))


def test_timed_turns_must_have_the_answers_of_the_warm_up() -> None:
    found = result(EARLY, [10.0] * 3, videos=CLIPS)
    assert same_in_every_turn(found).passed
    found.turns[2] = turn([row(video, 10.0, answer=video % 2, step=5) for video in range(CLIPS)])
    check = same_in_every_turn(found)
    assert not check.passed
    assert check.detail == "12 of 24 answers changed (video_0), mean frames 3.00 and 4.00"
    broken = replace(found.turns[1].rows[0], error="cannot decode", prediction=None, exit_step=None)
    found.turns = {**found.turns, 2: replace(found.turns[1], rows=(broken, *found.turns[1].rows[1:]))}
    assert not same_in_every_turn(found).passed

"""MLPerf LoadGen scenarios: one clip at a time, all at once, or arriving at random.

LoadGen issues and times the queries in its own process; this process runs them through a stream of clips.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....lazy import lazy_exports

if TYPE_CHECKING:
    from .loadgen_log import LoadGenRun as LoadGenRun
    from .options import SCENARIOS as SCENARIOS
    from .options import ScenarioOptions as ScenarioOptions
    from .scenario import ScenarioResult as ScenarioResult
    from .scenario import run_scenario as run_scenario

__getattr__ = lazy_exports(
    __name__,
    loadgen_log=("LoadGenRun",),
    options=("SCENARIOS", "ScenarioOptions"),
    scenario=("ScenarioResult", "run_scenario"),
)

"""How long a save takes to be answered: `python -m tests.benchmarks.saves`.

From the end of writing a source file under `holdfast dev` to the first answer that the new code gave, over HTTP.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from tests.harness.projects import DevProcess, run


def measure_saves(project: Path, saves: int) -> list[float]:
    """Seconds from save to answer, for so many saves of a scaffolded project."""
    app = project / "src" / "app.py"
    text = app.read_text()
    took: list[float] = []
    with DevProcess(project) as dev, dev.caller() as caller:
        for number in range(saves):
            app.write_text(text.replace('return {"value": value}', f'return {{"value": value, "save": {number}}}'))
            began = time.monotonic()
            while f'"save":{number}' not in caller.request("POST", "/counters/a/increment").text:
                time.sleep(0.005)
            took.append(time.monotonic() - began)
    return took


def main() -> None:
    """Measure twenty and print what came out."""
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), "new", "saves")
        took = sorted(measure_saves(Path(folder) / "saves", 20))
    shown = " ".join(f"{each * 1000:.0f}" for each in took)
    print(f"save to answer over {len(took)} saves, ms: median {statistics.median(took) * 1000:.0f}, all {shown}")


if __name__ == "__main__":
    main()

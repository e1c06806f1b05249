"""Run the tests that have just failed once more, alone, and name them: `python scripts/again.py MARKERS`.

Ends with 0 when they pass now; with 1 when one fails again, when there are too many for chance, or when none is known.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

MOST = 5  # a fault of the code fails more tests, or the same one again
FAILED = Path(".pytest_cache/v/cache/lastfailed")


def main(markers: str) -> int:
    """Returns the exit code."""
    try:
        failed = sorted(json.loads(FAILED.read_text()))
    except (OSError, ValueError):
        failed = []
    print(f"== again: {len(failed)} failed", *failed, sep="\n   ", flush=True)
    if not 0 < len(failed) <= MOST:
        return 1
    done = subprocess.run([sys.executable, "-m", "pytest", "-m", markers, "-v", *failed], check=False)
    if done.returncode == 0:
        print("== unsteady: these passed when they ran again, and need a look", *failed, sep="\n   ", flush=True)
    return int(done.returncode != 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

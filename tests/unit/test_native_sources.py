"""Rules of the native sources that the compiler does not know."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

# What makes a descriptor, and may so get the number of a standard stream that an app has closed.
MAKES = re.compile(r"from_raw_fd\(|File::(open|create|options)|OpenOptions|\b(Tcp|Unix)(Stream|Listener|Datagram)::")


def test_new_descriptors_go_through_one_function(root: Path) -> None:
    """`sys::descriptor::own` moves them above the standard streams: no client's connection becomes descriptor 2."""
    sources = root / "rust" / "native" / "src"
    found = {
        str(path.relative_to(sources))
        for path in sources.rglob("*.rs")
        if MAKES.search(path.read_text(encoding="utf-8").partition("#[cfg(test)]")[0])
    }
    assert found == {"sys/descriptor.rs"}


def test_module_keeps_the_gil(root: Path) -> None:
    """Whether a live object may be used again is decided by its reference count, which needs the GIL."""
    text = (root / "rust" / "native" / "src" / "python" / "mod.rs").read_text(encoding="utf-8")
    assert "#[pymodule(gil_used = true)]" in text
    code = "import sys, hostler.native; print(getattr(sys, '_is_gil_enabled', lambda: True)())"
    command = [sys.executable, "-W", "ignore", "-c", code]  # it warns that the GIL was switched on
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"

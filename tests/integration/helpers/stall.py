"""A disk that stops: writes below one directory, or to one file, wait as long as a file called "frozen" is there.

A small library that is loaded before the C library's own (LD_PRELOAD) stands in for a frozen file system, which needs a
device of its own.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_stopped(int fd) {
    char link[64], path[4096], frozen[4096];
    const char *below = getenv("STALL_BELOW");
    if (below == NULL) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (strncmp(path, below, strlen(below)) != 0) return 0;
    snprintf(frozen, sizeof frozen, "%s.frozen", below);
    return access(frozen, F_OK) == 0;
}

static void wait_for(int fd) {
    char path[4096];
    if (!is_stopped(fd)) return;
    snprintf(path, sizeof path, "%s.waits", getenv("STALL_BELOW"));
    FILE *file = fopen(path, "w");
    if (file) fclose(file);
    while (is_stopped(fd)) usleep(5000);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    wait_for(fd);
    return real(fd, bytes, count, offset);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    wait_for(fd);
    return real(fd, bytes, count);
}
"""


class Disk:
    """What lies at `below` stops and goes on."""

    def __init__(self, directory: Path, below: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        assert compiler is not None, "the native module needs a C compiler too"
        source, library = directory / "stall.c", directory / "stall.so"
        source.write_text(SOURCE)
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        self._frozen = Path(f"{below}.frozen")
        self._waits = Path(f"{below}.waits")
        self.env: Mapping[str, str] = {"LD_PRELOAD": str(library), "STALL_BELOW": str(below)}

    def stop(self) -> None:
        """From here on writes wait."""
        self._frozen.touch()

    def waits(self) -> bool:
        """Whether a write has come that waits."""
        return self._waits.exists()

    def go_on(self) -> None:
        """Let them through."""
        self._frozen.unlink(missing_ok=True)

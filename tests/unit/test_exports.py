"""The public surface is a list: what is not in it may change in any release."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

import hostler


def test_the_root_has_these_names() -> None:
    assert hostler.__all__ == ["__version__", "run", "serve"]
    public = {name for name in vars(hostler) if not name.startswith("_")}
    # Submodules appear as attributes once anything imports them; constants of typing are no surface.
    modules = {path.stem for path in Path(hostler.__path__[0]).iterdir()}
    assert public - modules - {"annotations", "TYPE_CHECKING"} == {"run", "serve"}


def test_every_name_is_there() -> None:
    assert [name for name in hostler.__all__ if not hasattr(hostler, name)] == []


def test_the_version_is_the_same_everywhere(root: Path) -> None:
    cargo = tomllib.loads((root / "Cargo.toml").read_text(encoding="utf-8"))
    assert hostler.__version__ == version("hostler") == cargo["workspace"]["package"]["version"]

"""`ostler version`: which ostler, and on what it runs."""

__all__ = ["show", "version"]


def show() -> int:
    """Print one line for bug reports."""
    import platform

    print(f"ostler {version()} ({platform.python_implementation()} {platform.python_version()}, {platform.system()})")
    return 0


def version() -> str:
    """The version of the installed package; it is written once, in the workspace's Cargo.toml."""
    from importlib import metadata

    try:
        return metadata.version("ostler")
    except metadata.PackageNotFoundError:
        return "(not installed)"

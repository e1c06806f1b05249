"""`hostler version`: which hostler, and on what it runs."""

__all__ = ["show"]


def show() -> int:
    """Print one line for bug reports."""
    import platform

    from hostler import __version__

    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"hostler {__version__} ({python}, {platform.system()} {platform.machine()})")
    return 0

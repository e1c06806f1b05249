"""The errors hostler reports in one line, and the exit code each one ends the process with.

    HostlerError        1   something outside of hostler went wrong while it ran
    ├── ConfigError    2   an option, a configuration file or the command line is wrong
    ├── BindError      1   an address cannot be listened on
    ├── BootError      3   a worker cannot boot
    └── AppLoadError   4   the application cannot be found or imported

3 and 4 are gunicorn's codes, so service managers that know them need no change.
Every message is one line and says whose fault it is; longer evidence (a traceback) goes to `detail`.
The exceptions travel to `hostler.cli`, which prints the message and returns `exit_code`; nothing else exits.
"""

__all__ = ["AppLoadError", "BindError", "BootError", "ConfigError", "HostlerError"]


class HostlerError(Exception):
    """Base of everything that hostler itself raises for its user."""

    exit_code = 1

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class ConfigError(HostlerError):
    """An option that is unknown, has an impossible value or contradicts another one."""

    exit_code = 2


class BindError(HostlerError):
    """An address that cannot be listened on; the message names its owner where that is known."""


class BootError(HostlerError):
    """Workers that end before they are ready, for a reason that is not the application's import."""

    exit_code = 3


class AppLoadError(HostlerError):
    """An application that cannot be found or imported; `detail` is the traceback of its import."""

    exit_code = 4

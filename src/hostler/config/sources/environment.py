"""Environment variables as assignments."""

from collections.abc import Mapping

from hostler.config.names import find, hint
from hostler.config.settings import OPTIONS, Assignment
from hostler.errors import ConfigError

__all__ = ["from_environment", "from_platform"]

_PREFIX = "HOSTLER_"


def from_environment(environ: Mapping[str, str]) -> list[Assignment]:
    """One assignment for each HOSTLER_* variable.

    Empty variables count as unset: compose files and charts leave them behind when a value is missing.
    """
    assignments = []
    for variable, value in environ.items():
        if not variable.startswith(_PREFIX) or not value or _is_service_link(variable):
            continue
        name = variable.removeprefix(_PREFIX)
        option = find(name.lower())
        if option is None:
            meant = hint(name, lambda option: option.variable)
            raise ConfigError(f'unknown option "{variable}" in the environment{meant}')
        assignments.append(Assignment(option.name, value, variable, variable))
    return assignments


def from_platform(environ: Mapping[str, str]) -> list[Assignment]:
    """What hosting platforms say: $PORT, $WEB_CONCURRENCY."""
    assignments = []
    for option in OPTIONS.values():
        variable, template = option.platform or ("", "")
        value = environ.get(variable, "")
        if value:
            assignments.append(Assignment(option.name, template.format(value), variable, variable))
    return assignments


def _is_service_link(variable: str) -> bool:
    """Whether Kubernetes made the variable, as it does for a Service whose name begins with "hostler".

    They are HOSTLER_SERVICE_HOST, HOSTLER_SERVICE_PORT[_NAME], HOSTLER_PORT and HOSTLER_PORT_80_TCP[_...]
    (kubernetes.io: "Discovering services"); no option's name looks like that.
    """
    return variable.endswith(("_SERVICE_HOST", "_PORT")) or "_PORT_" in variable

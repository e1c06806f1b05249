"""Environment variables as assignments."""

from collections.abc import Iterator, Mapping

from hostler.config.names import find, hint
from hostler.config.settings import OPTIONS, Assignment

__all__ = ["from_environment", "from_platform", "warn_of_variables"]

_PREFIX = "HOSTLER_"
# What the values of service links begin with, where they name an address (kubernetes.io: "Discovering services").
_LINKED = ("tcp://", "udp://", "sctp://")


def from_environment(environ: Mapping[str, str]) -> list[Assignment]:
    """One assignment for each HOSTLER_* variable that is an option.

    Empty variables count as unset: compose files and charts leave them behind when a value is missing.
    """
    assignments = []
    for variable, value in _ours(environ):
        option = find(variable.removeprefix(_PREFIX).lower())
        if option is not None:
            assignments.append(Assignment(option.name, value, variable, variable))
    return assignments


def warn_of_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """One line for each HOSTLER_* variable that is no option, with the name that was probably meant.

    It is no error: an operator may have variables of that name, and a new one must not take a site down.
    """
    for variable, value in _ours(environ):
        name = variable.removeprefix(_PREFIX)
        said = f"the environment variable {variable} is no option and is ignored"
        if name == "PORT" and value.isascii() and value.isdigit():
            yield f"{said}; to listen on port {value} set HOSTLER_BIND=:{value}"
        elif find(name.lower()) is None and not _is_service_link(variable):
            yield said + hint(name, lambda option: option.variable)


def from_platform(environ: Mapping[str, str]) -> list[Assignment]:
    """What hosting platforms say: $PORT, $WEB_CONCURRENCY."""
    assignments = []
    for option in OPTIONS.values():
        variable, template = option.platform or ("", "")
        value = environ.get(variable, "")
        if value:
            assignments.append(Assignment(option.name, template.format(value), variable, variable))
    return assignments


def _ours(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Variables that begin as ours and say something; not those that name a Service's address."""
    for variable, value in environ.items():
        is_address = _is_service_link(variable) and value.startswith(_LINKED)
        if variable.startswith(_PREFIX) and value and not is_address:
            yield variable, value


def _is_service_link(variable: str) -> bool:
    """Whether Kubernetes may have made the variable, as it does for a Service whose name begins with "hostler".

    They are HOSTLER_SERVICE_HOST, HOSTLER_SERVICE_PORT[_NAME], HOSTLER_PORT and HOSTLER_PORT_80_TCP[_...]
    (kubernetes.io: "Discovering services"). The option HOSTLER_REUSE_PORT looks like the link of a Service
    "hostler-reuse"; that one's value is an address.
    """
    return variable.endswith(("_SERVICE_HOST", "_PORT")) or "_PORT_" in variable

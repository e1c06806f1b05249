"""Configuration: one table of options, read from files, the environment and the command line.

    load(...)          -> Config, immutable and typed: config.workers, config.bind, config.keepalive, ...
    from_arguments()   the command line as assignments for load
    from_keywords()    keyword arguments as assignments for load

Inside, text becomes typed values at one place: units and addresses, kinds and subjects (how a value is read), options
(the table, in groups), sources (text to assignments), loading (precedence), checks (between options).
"""

from hostler.config.address import Address, DescriptorAddress, TcpAddress, UnixAddress
from hostler.config.loading import load
from hostler.config.settings import Assignment, Config
from hostler.config.sources.arguments import from_arguments
from hostler.config.sources.keywords import from_keywords
from hostler.config.units import Duration, Mode, Size

__all__ = [
    "Address",
    "Assignment",
    "Config",
    "DescriptorAddress",
    "Duration",
    "Mode",
    "Size",
    "TcpAddress",
    "UnixAddress",
    "from_arguments",
    "from_keywords",
    "load",
]

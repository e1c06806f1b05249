"""Processes, signals, sockets and files as POSIX has them; what they are used for is decided elsewhere."""

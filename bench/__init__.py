"""The benchmark: server CPU time per request, side by side with the peers and with the kernel's own limit."""

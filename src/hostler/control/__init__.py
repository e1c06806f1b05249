"""The control socket: questions to a running server, on its own machine, by its own user."""

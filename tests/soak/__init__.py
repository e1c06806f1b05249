"""A long run under mixed load: `make soak`. Not part of `make test`."""

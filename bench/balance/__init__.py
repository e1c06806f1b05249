"""How the requests are spread over the workers, beside the other servers: `python -m bench.balance`."""

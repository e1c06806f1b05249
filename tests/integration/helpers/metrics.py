"""The numbers of a server's metrics, read by Prometheus' own parser."""

from __future__ import annotations

import socket

from prometheus_client.parser import text_string_to_metric_families

from tests.integration.helpers.raw import Connection
from tests.integration.helpers.server import Server


class Page:
    """One answer."""

    def __init__(self, text: str) -> None:
        families = list(text_string_to_metric_families(text))
        self.kinds = {family.name: family.type for family in families}
        assert len(self.kinds) == len(families), "each name is one metric's, a counter's without its _total"
        self.samples = [sample for family in families for sample in family.samples]

    def buckets(self, name: str) -> list[tuple[float, float]]:
        """Border and count of each."""
        name = f"hostler_{name}_bucket"
        return [(float(each.labels["le"]), each.value) for each in self.samples if each.name == name]

    def sum(self, name: str, **labels: str) -> float:
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == f"hostler_{name}" and labels.items() <= sample.labels.items()
        )


def admin(server: Server, path: str, method: str = "GET") -> tuple[int, str]:
    [said] = server.wait_log(r"probes are answered url=http://127.0.0.1:\d+")
    with Connection(socket.create_connection(("127.0.0.1", int(said.rpartition(":")[2])), timeout=10)) as connection:
        response = connection.request(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), head=method == "HEAD")
        return response.status, response.body.decode()


def page(server: Server) -> Page:
    status, text = admin(server, "/metrics")
    assert status == 200
    return Page(text)

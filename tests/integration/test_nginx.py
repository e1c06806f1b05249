"""The nginx configuration of docs/deploying.md, as it stands there: TLS, the client's address, WebSockets, reloads."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.conftest import ROOT
from tests.integration.helpers import Serve, Server, free_port

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
pytestmark = pytest.mark.skipif(not NGINX or not shutil.which("openssl"), reason="nginx or openssl is not here")

WSGI = """
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        body = environ["wsgi.input"].read()
        names = ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST")
        return [" ".join(environ[name] for name in names).encode(), b" %d" % len(body)]
"""
ECHO = """
    async def application(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": f"{scope['scheme']} {scope['client'][0]} {event['text']}"})
"""


def recipe(directory: Path, port: int) -> str:
    """What the page says, with the paths and the port of this test."""
    [block] = re.findall(r"^```nginx\n(.*?)^```", (ROOT / "docs" / "deploying.md").read_text("utf-8"), re.S | re.M)
    for written, here in {
        "/run/shop/http.sock": str(directory / "http.sock"),
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/ssl/shop.example": str(directory / "shop"),
    }.items():
        assert written in block
        block = block.replace(written, here)
    return f"""
        daemon off; master_process off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/nginx.log;
        events {{ worker_connections 256; }}
        http {{ access_log off; client_body_temp_path {directory}/b; proxy_temp_path {directory}/p;
        fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
        {block} }}
    """


@pytest.fixture
def proxied(serve: Serve) -> Iterator[tuple[Server, str]]:
    """A server with pages and WebSockets behind nginx, and nginx's address."""
    here, port = serve.directory, free_port()
    serve.source(ECHO, "live")
    server = serve(
        serve.source(WSGI), "--app", "live:application=websocket", "--workers", "2", bind=f"unix:{here}/http.sock"
    )
    key = ("-newkey", "rsa:2048", "-nodes", "-keyout", f"{here}/shop.key", "-out", f"{here}/shop.pem")
    subprocess.run(["openssl", "req", "-x509", *key, "-subj", "/CN=shop.example"], check=True, capture_output=True)
    (here / "nginx.conf").write_text(recipe(here, port), encoding="utf-8")
    assert NGINX
    with (here / "nginx.out").open("wb") as out:
        nginx = subprocess.Popen([NGINX, "-c", here / "nginx.conf", "-e", here / "nginx.log"], stderr=out)
    try:
        server.wait_for(lambda: nginx.poll() is not None or answers(port), "nginx")
        assert nginx.poll() is None, (here / "nginx.out").read_text()
        yield server, f"127.0.0.1:{port}"
    finally:
        nginx.kill()
        nginx.wait()


def answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_pages_know_client_scheme_and_name(proxied: tuple[Server, str]) -> None:
    _, address = proxied
    stranger = httpx.HTTPTransport(verify=trusting(), local_address="127.0.0.2")  # 127.0.0.1 would be believed
    with httpx.Client(transport=stranger, headers={"Host": "shop.example"}) as client:
        assert client.get(f"https://{address}/").text == "127.0.0.2 https shop.example 0"
        sent = client.post(f"https://{address}/", content=b"x" * 3_000_000, headers={"X-Forwarded-For": "203.0.113.9"})
    assert sent.text == "127.0.0.2 https shop.example 3000000", "what the client says of itself is not believed"


def test_websockets_pass(proxied: tuple[Server, str]) -> None:
    _, address = proxied
    with connect(f"wss://{address}/", ssl=trusting()) as live:
        live.send("hello")
        assert live.recv(timeout=5) == "wss 127.0.0.1 hello"


def test_reloads_fail_no_request(proxied: tuple[Server, str]) -> None:
    server, address = proxied
    statuses: list[int] = []
    done = threading.Event()

    def ask() -> None:
        with httpx.Client(verify=trusting()) as client:
            while not done.is_set():
                statuses.append(client.get(f"https://{address}/").status_code)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    for count in range(1, 4):
        server.kill(signal.SIGHUP)
        server.wait_log("reloaded workers=", count=count)
    done.set()
    for client in clients:
        client.join()
    assert len(statuses) > 20
    assert set(statuses) == {200}

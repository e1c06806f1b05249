"""Reloads: new code and configuration without a failed request, and bad ones that change nothing."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path

import pytest

from tests.integration.helpers import Serve
from tests.integration.helpers.apps import HOLD
from tests.integration.helpers.load import GET, HELD, KeepAlive, Load, serve_all, wait_held
from tests.integration.helpers.versions import APP, answer, reload, version


@pytest.mark.parametrize("workers", ["1", "2"])
def test_reloads_under_load_fail_nobody(serve: Serve, workers: str) -> None:
    server = serve(version(serve, "v0", pause=0.1), "--workers", workers)
    loads = [Load(server, 2), KeepAlive(server, 4)]
    for number in range(1, 6):
        version(serve, f"v{number}", pause=0.1)
        done = reload(server)
        assert (done.returncode, done.stderr.count("\n")) == (0, 1), "the server that it acts on, and no fault"
        assert done.stdout.startswith("reloaded workers=")
        assert answer(server).startswith(f"v{number} ")
    for load in loads:
        load.stop()
    assert [load.failed for load in loads] == [[], []]
    assert min(load.answered for load in loads) > 50
    assert len(server.wait_children(int(workers))) == int(workers)


@pytest.mark.parametrize(
    ("text", "said"),
    [("VERSION = (", "SyntaxError"), ("import nowhere", "nowhere"), ("import os; os._exit(9)", "exit_code=9")],
)
def test_version_that_does_not_load_changes_nothing(serve: Serve, text: str, said: str) -> None:
    server = serve_all(serve, version(serve, "old"), 2)
    before = set(server.children())
    serve.source(text)
    done = reload(server)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.endswith("reload failed; those that served before serve on workers=2\n")
    assert answer(server).startswith("old ")
    server.wait_for(lambda: set(server.children()) == before, "the end of the failed worker")
    version(serve, "new")
    assert reload(server).returncode == 0
    assert answer(server).startswith("new ")


def test_request_that_runs_ends_in_its_old_worker(serve: Serve) -> None:
    server = serve(serve.source(HOLD))
    [old] = server.children()
    with server.connect() as running:
        running.send(HELD)
        wait_held(server, serve)
        assert reload(server).returncode == 0
        assert answer(server) != str(old)
        (serve.directory / "go").touch()
        assert running.response().body == str(old).encode()
    assert server.wait_children(1, without=[old])
    assert "WARNING" not in server.log


def test_configuration_is_read_again(serve: Serve, tmp_path: Path) -> None:
    config = serve.directory / "hostler.toml"
    config.write_text('bind = "127.0.0.1:0"\n')
    server = serve(version(serve, "v"), bind=[], ready=False)
    server.wait_ready()
    log = tmp_path / "access.log"
    config.write_text(f'bind = "127.0.0.1:0"\nworkers = 3\naccess_log = "{log}"\n')
    assert reload(server).stdout.startswith("reloaded workers=3 took=")
    assert len(server.children()) >= 3
    answer(server)
    server.wait_for(lambda: log.exists() and "GET / " in log.read_text(), "the access log")
    config.write_text('bind = "127.0.0.1:0"\nworkers = 1\n')
    assert reload(server).returncode == 0
    server.wait_children(1)


def test_addresses_come_and_go(serve: Serve, tmp_path: Path) -> None:
    config, path = serve.directory / "hostler.toml", tmp_path / "app.sock"
    config.write_text('bind = "127.0.0.1:0"\n')
    server = serve(version(serve, "v"), bind=[], ready=False)
    server.wait_ready()
    load = Load(server, 2)
    config.write_text(f'bind = ["127.0.0.1:0", "unix:{path}"]\n')
    assert reload(server).returncode == 0
    assert f"listening on unix:{path}" in server.log
    load.stop()
    assert load.failed == []
    assert answer(server, 1).startswith("v ")
    config.write_text(f'bind = "unix:{path}"\n')
    assert reload(server).returncode == 0
    with pytest.raises((ConnectionRefusedError, TimeoutError)):
        server.connect(0, timeout=0.5)
    assert answer(server, 1).startswith("v ")
    config.write_text('bind = "127.0.0.1:0"\n')
    assert reload(server).returncode == 0
    server.wait_for(lambda: not path.exists(), "removal of the path")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("workers = many", "hostler.toml:1"),
        ("wokers = 2", 'unknown option "wokers"'),
        ("workers = 900", "workers: 900"),
        ('bind = "unix:/nowhere/app.sock"', "/nowhere"),
        ('error_log = "/nowhere/log"', "/nowhere"),
    ],
)
def test_wrong_configuration_is_one_line_and_changes_nothing(serve: Serve, text: str, said: str) -> None:
    config = serve.directory / "hostler.toml"
    config.write_text('bind = "127.0.0.1:0"\n')
    server = serve(version(serve, "v"), bind=[], ready=False)
    server.wait_ready()
    before = server.children()
    config.write_text(text + "\n")
    done = reload(server)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 2, "which server, and why not"
    assert "nothing has changed" in done.stderr
    assert server.children() == before
    server.wait_log('not reloaded, nothing has changed: .* reason="hostler reload"')


def test_new_address_of_a_version_that_does_not_load_is_given_up(serve: Serve, tmp_path: Path) -> None:
    config, path = serve.directory / "hostler.toml", tmp_path / "app.sock"
    config.write_text('bind = "127.0.0.1:0"\n')
    server = serve(version(serve, "v"), bind=[], ready=False)
    server.wait_ready()
    config.write_text(f'bind = ["127.0.0.1:0", "unix:{path}"]\n')
    serve.source("1/0")
    assert reload(server).returncode == 1
    server.wait_for(lambda: not path.exists(), "removal of the path")
    assert answer(server).startswith("v ")


def test_stop_shuts_the_addresses_of_both_versions(serve: Serve, tmp_path: Path) -> None:
    """A reload is on its way that would leave the old address."""
    config, old, new = serve.directory / "hostler.toml", tmp_path / "old.sock", tmp_path / "new.sock"
    config.write_text(f'bind = "unix:{old}"\n')
    server = serve(version(serve, "v"), bind=[], ready=False)
    server.wait_ready()
    config.write_text(f'bind = "unix:{new}"\n')
    version(serve, "v", pause=30)
    server.kill(signal.SIGHUP)
    server.wait_for(new.exists, "the new address")
    with server.connect() as connection:
        connection.send(GET)
        server.kill(signal.SIGTERM)
        assert connection.response().status == 200
    server.wait_for(lambda: not old.exists() and not new.exists(), "removal of both")
    assert server.wait() == 0


def test_configuration_can_be_mended_while_nobody_serves(serve: Serve) -> None:
    """The reload before has not got anybody ready, and never will."""
    config = serve.directory / "hostler.toml"
    config.write_text('bind = "127.0.0.1:0"\n')
    app = """
        import os
        BROKEN = os.path.exists("broken") and os.path.realpath(os.getcwd()).endswith("broken-home")

        def application(environ, start_response):
            start_response("200 OK", [])
            return [b"v"]

        if BROKEN:
            raise RuntimeError("broken here")
    """
    home = serve.directory / "broken-home"
    home.mkdir()
    (home / "broken").touch()
    serve.source(app)
    serve.source(app, "broken-home/app")
    server = serve("app", bind=[], ready=False)
    server.wait_ready()
    config.write_text('bind = "127.0.0.1:0"\nchdir = "broken-home"\n')
    [worker] = server.children()
    server.kill(signal.SIGHUP)
    os.kill(worker, signal.SIGKILL)
    server.wait_log("broken here")
    config.write_text('bind = "127.0.0.1:0"\n')
    assert reload(server).returncode == 0
    assert answer(server) == "v"


def test_newer_release_behind_a_link_is_found(serve: Serve) -> None:
    for name in ("one", "two"):
        (serve.directory / name).mkdir()
        serve.source(APP.format(version=name, pause=0), f"{name}/app")
    current = serve.directory / "current"
    current.symlink_to("one")
    server = serve("app", cwd=current, env={"PWD": str(current)})
    assert answer(server).startswith("one ")
    fresh = serve.directory / "fresh"
    fresh.symlink_to("two")
    fresh.rename(current)
    assert reload(server).returncode == 0
    assert answer(server).startswith("two ")


def test_sighup_reloads_too(serve: Serve) -> None:
    server = serve(version(serve, "old"))
    version(serve, "new")
    server.kill(signal.SIGHUP)
    server.wait_log("reloaded workers=")
    assert answer(server).startswith("new ")


def test_touching_a_file_reloads(serve: Serve) -> None:
    """One that is not there yet counts when it comes."""
    touched = serve.directory / "deployed"
    server = serve(version(serve, "v0"), "--touch-reload", "deployed")
    for number in (1, 2):
        version(serve, f"v{number}")
        touched.touch()
        server.wait_for(lambda number=number: server.log.count("reloaded workers=") == number, "a reload")  # type: ignore[misc]
        assert answer(server).startswith(f"v{number} ")
    assert re.search(f'reloading; .* reason="{touched} was touched" workers=1', server.log)
    touched.unlink()
    server.kill(signal.SIGUSR1)
    assert answer(server).startswith("v2 ")


def test_reloads_at_the_same_time_are_one_after_the_other(serve: Serve) -> None:
    server = serve(version(serve, "old", pause=0.3))
    version(serve, "new", pause=0.3)
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(reload(server).returncode), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0, 0]
    assert answer(server).startswith("new ")


def test_ttin_and_ttou_change_the_number(serve: Serve) -> None:
    server = serve(version(serve, "v"))
    server.kill(signal.SIGTTIN)
    server.wait_children(2)
    server.wait_log(r"worker ready worker=\d pid=\d+")
    server.kill(signal.SIGTTOU)
    server.wait_children(1)
    server.kill(signal.SIGTTOU)
    server.wait_log("workers not scaled; there is one worker reason=SIGTTOU workers=1")


def test_app_of_a_script_cannot_be_reloaded(serve: Serve) -> None:
    (serve.directory / "script.py").write_text(
        "import hostler\nfrom app import application\nhostler.serve(application, bind='127.0.0.1:0')\n"
    )
    version(serve, "v")
    server = serve(None, python=("script.py",), bind=[])
    server.kill(signal.SIGHUP)
    server.wait_log("not reloaded, nothing has changed: the app was given by a script, .* reason=SIGHUP")
    assert answer(server).startswith("v ")


# A server whose second look at its configuration fails in a way that no code expects.
BREAKS = """
import sys
from hostler.cli import main
from hostler.config import loading

looks = []

def look(config):
    looks.append(config)
    if len(looks) == 2:
        raise OSError(22, "Invalid argument", "/a/path")
    return ()

loading.warn_of_exposed = look
sys.exit(main(["serve", *sys.argv[1:]]))
"""


def test_reload_that_fails_unexpectedly_changes_nothing_and_the_next_one_works(serve: Serve) -> None:
    server = serve(version(serve, "v0"), python=("-c", BREAKS))
    [worker] = server.children()
    done = reload(server)
    assert done.returncode == 1
    assert "not reloaded, nothing has changed: OSError(22, 'Invalid argument') (please report it)" in done.stderr
    server.wait_log("Traceback")
    assert server.children() == [worker]
    version(serve, "v1")
    assert reload(server).returncode == 0
    assert answer(server).startswith("v1 ")

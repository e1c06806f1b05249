"""Root with `--user`: what the workers' user does with the names that root uses harms nothing but its own files."""

from __future__ import annotations

import os
import pwd
import re
import signal
import stat
import threading
from pathlib import Path

import pytest

from tests.integration.helpers import Serve, Server
from tests.integration.helpers.commands import ctl
from tests.integration.helpers.load import GET
from tests.integration.helpers.users import SCRIPT, needs_root

pytestmark = needs_root

NOBODY = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
# As SCRIPT, with an application that can be imported again.
RELOADABLE = SCRIPT.replace("hostler.serve(application,", 'hostler.serve("app:application",')
APP = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]
"""


def give(path: Path) -> Path:
    """Have a file, a link or a directory that is the workers' user's."""
    assert NOBODY is not None
    os.lchown(path, NOBODY.pw_uid, NOBODY.pw_gid)
    return path


@pytest.fixture
def logs(public: Serve) -> Path:
    """A log directory of the workers' user."""
    (public.directory / "log").mkdir()
    return give(public.directory / "log")


@pytest.fixture
def secret(public: Serve) -> Path:
    """A file that only root may read."""
    path = public.directory / "secret"
    path.write_text("secret\n")
    path.chmod(0o600)
    return path


def start(public: Serve, script: str = SCRIPT, options: str = "", log: str = "log/error.log") -> Server:
    text = script.format(directory=public.directory, options=f"user='nobody', workers=2, {options}")
    (public.directory / "script.py").write_text(text.replace("error.log", log).replace("access.log", "log/access.log"))
    (public.directory / "app.py").write_text(APP)
    server = public(None, python=("script.py",), bind=[], ready=False)
    server.log_path = public.directory / log
    server.wait_for(server.log_path.exists, "the log")
    server.wait_ready()
    return server


def replace(server: Server, name: str, way: str, target: Path) -> None:
    """Put something else in a log's place, as an app can that runs as its directory's owner."""
    path = server.log_path.parent / name
    path.rename(f"{path}.1")
    if name == "error.log":
        server.log_path = Path(f"{path}.1")
    if way == "link":
        path.symlink_to(target)
    elif way == "hard link":
        path.hardlink_to(target)
        return
    else:
        os.mkfifo(path)
    give(path)


def is_of(path: Path, user: pwd.struct_passwd) -> bool:
    return path.exists() and path.stat().st_uid == user.pw_uid


def assert_untouched(secret: Path) -> None:
    found = secret.lstat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, 0, 0o600)
    assert secret.read_text() == "secret\n"


def assert_serves(server: Server) -> None:
    with server.connect() as connection:
        assert connection.request(GET).status == 200


@pytest.mark.parametrize("name", ["error.log", "access.log"])
@pytest.mark.parametrize("way", ["link", "hard link", "fifo"])
def test_log_that_was_replaced_is_not_opened_by_root_at_usr1(
    public: Serve, logs: Path, secret: Path, name: str, way: str
) -> None:
    server = start(public)
    replace(server, name, way, secret)
    server.kill(signal.SIGUSR1)
    server.wait_log(rf"\[{server.pid}\] \[ERROR\] cannot reopen {logs}/{name}: .*; the old file is used on")
    assert_serves(server)
    assert_untouched(secret)
    (logs / name).unlink()
    server.kill(signal.SIGUSR1)
    assert NOBODY is not None
    server.wait_for(lambda: is_of(logs / name, NOBODY), "a new log of the workers' user")
    assert server.stop() == 0


@pytest.mark.parametrize("way", ["link", "fifo"])
def test_log_that_was_replaced_stops_a_reload_and_nothing_else(
    public: Serve, logs: Path, secret: Path, way: str
) -> None:
    server = start(public, RELOADABLE)
    replace(server, "access.log", way, secret)
    server.kill(signal.SIGHUP)
    server.wait_log("not reloaded, nothing has changed: access_log .* reason=SIGHUP")
    assert_serves(server)
    assert_untouched(secret)
    (logs / "access.log").unlink()
    server.kill(signal.SIGHUP)
    server.wait_log(r"\[INFO\] reloaded workers=")
    assert server.stop() == 0


HANDLER = """{{"handlers": {{"file": {{"class": "logging.{handler}", "filename": "{path}", "formatter": "generic"}}}},
 "loggers": {{"hostler.error": {{"handlers": ["file"]}}}}}}"""


@pytest.mark.parametrize("handler", ["FileHandler", "handlers.WatchedFileHandler"])
def test_log_of_loggings_handlers_that_was_replaced_is_not_opened_by_root(
    public: Serve, logs: Path, secret: Path, handler: str
) -> None:
    table = public.directory / "log.json"
    table.write_text(HANDLER.format(handler=handler, path=f"{logs}/error.log"))
    imports = "import logging.config, logging.handlers, hostler.sinks, hostler.worker.relay\n"
    server = start(public, imports + RELOADABLE, f"log_config='{table}', capture_output=False, ")
    assert NOBODY is not None
    assert (logs / "error.log").stat().st_uid == NOBODY.pw_uid
    replace(server, "error.log", "link", secret)
    server.kill(signal.SIGUSR1)
    server.kill(signal.SIGHUP)
    assert_serves(server)
    ctl(server, "status")
    assert_untouched(secret)
    assert server.stop() == 0
    server.kill(signal.SIGTERM)
    server.wait()
    assert_untouched(secret)


@pytest.mark.parametrize("command", ["serve", "gunicorn"])
def test_module_that_the_application_has_left_is_not_imported_by_the_arbiter(serve: Serve, command: str) -> None:
    """`python -m` and gunicorn.conf.py put the current directory in front; json is imported at the first question."""
    (serve.directory / "gunicorn.conf.py").write_text("import beside\nworkers = beside.workers\n")
    (serve.directory / "beside.py").write_text("workers = 1\n")
    server = serve(serve.source(APP), python=("-m", "hostler", command))
    (serve.directory / "json.py").write_text("open('imported', 'w').close()\n")
    asked = ctl(server, "status")
    assert not (serve.directory / "imported").exists()
    assert asked.returncode == 0


@pytest.mark.parametrize("name", ["hostler.toml", "hooks.py"])
def test_fifo_in_the_place_of_a_file_that_root_reads_does_not_stop_the_arbiter(
    public: Serve, logs: Path, name: str
) -> None:
    path = logs / name
    path.write_text("keepalive = 9\n" if name == "hostler.toml" else "def on_reload(server): ...\n")
    option = "config" if name == "hostler.toml" else "hooks"
    server = start(public, RELOADABLE, f"{option}='{path}', ")
    path.unlink()
    os.mkfifo(path)
    give(path)
    server.kill(signal.SIGHUP)
    server.wait_log(f"not reloaded, nothing has changed: .*{name}.* reason=SIGHUP")
    assert_serves(server)
    assert server.stop() == 0


def test_unix_socket_in_a_directory_of_the_workers_user_is_served_and_removed(public: Serve, logs: Path) -> None:
    server = start(public, SCRIPT.replace("{directory}/app.sock", "{directory}/log/app.sock"))
    assert server.addresses == [f"{logs}/app.sock"]
    assert_serves(server)
    found = (logs / "app.sock").lstat()
    assert NOBODY is not None
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (NOBODY.pw_uid, 0o660)
    assert server.stop() == 0
    assert not (logs / "app.sock").exists()


def test_root_is_told_once_what_the_workers_user_can_change(public: Serve, logs: Path) -> None:
    server = start(public, RELOADABLE, f"pidfile='{logs}/run.pid', ")
    said = (
        rf"\[{server.pid}\] \[WARNING\] the workers' user can change what root uses: (.*) \(user=nobody\(\d+\) group="
    )
    server.wait_log(said)
    server.kill(signal.SIGHUP)
    server.wait_log(r"\[INFO\] reloaded workers=")
    [places] = re.findall(said, server.log)
    assert places.split() == [f"error_log={logs}", f"access_log={logs}", f"pidfile={logs}"]
    (public.directory / "hostler.toml").write_text("keepalive = 9\n")
    give(public.directory / "hostler.toml")
    server.kill(signal.SIGHUP)
    server.wait_log(r"\[INFO\] reloaded workers=", count=2)
    assert re.findall(said, server.log)[1:] == [f"{places} config={public.directory}/hostler.toml"]
    server.wait_log(r"\[INFO\] workers run as another user user=nobody\(\d+\) group=\w+\(\d+\)")
    assert server.stop() == 0


def test_directories_of_root_are_no_warning(public: Serve) -> None:
    (public.directory / "log").mkdir()
    server = start(public)
    assert "[WARNING]" not in server.log
    assert server.stop() == 0


@pytest.mark.parametrize("link", ["log/error.log", "log"])
def test_log_that_is_a_link_of_root_is_followed(public: Serve, link: str) -> None:
    (public.directory / "elsewhere").mkdir()
    if link == "log":
        (public.directory / "log").symlink_to("elsewhere")
    else:
        (public.directory / "log").mkdir()
        (public.directory / "log/error.log").symlink_to("../elsewhere/error.log")
    server = start(public)
    assert "listening on" in (public.directory / "elsewhere/error.log").read_text()
    (public.directory / "elsewhere/error.log").rename(public.directory / "moved")
    server.kill(signal.SIGUSR1)
    server.wait_for((public.directory / "elsewhere/error.log").exists, "a new log")
    assert server.stop() == 0


def test_log_that_is_a_link_to_standard_error_is_followed_wherever_it_is(public: Serve, logs: Path) -> None:
    """As container images have them, in a directory that belongs to the application."""
    give_link = logs / "error.log"
    give_link.symlink_to("/dev/stderr")
    give(give_link)
    (public.directory / "script.py").write_text(
        SCRIPT.format(directory=public.directory, options="user='nobody'")
        .replace("error.log", "log/error.log")
        .replace("access.log", "/dev/stdout")
    )
    server = public(None, python=("script.py",), bind=[], ready=False)
    server.wait_ready()
    assert_serves(server)
    server.kill(signal.SIGUSR1)
    server.wait_log('"GET / HTTP/1.1" 200')
    assert "cannot reopen" not in server.log
    assert server.stop() == 0


def test_log_that_is_a_fifo_of_root_with_a_reader_is_written_to(public: Serve) -> None:
    (public.directory / "log").mkdir()
    os.mkfifo(public.directory / "log/error.log")
    lines: list[str] = []

    def read() -> None:
        with open(public.directory / "log/error.log", encoding="utf-8") as fifo:
            lines.extend(fifo)

    reader = threading.Thread(target=read)
    reader.start()
    text = SCRIPT.format(directory=public.directory, options="user='nobody'").replace("error.log", "log/error.log")
    (public.directory / "script.py").write_text(text)
    server = public(None, python=("script.py",), bind=[], ready=False)
    server.wait_for(lambda: any("listening on" in line for line in lines), "its first line")
    assert server.stop() == 0
    reader.join()
    assert "[INFO] stopped" in lines[-1] or "stop" in lines[-1]


def test_log_that_logrotate_has_made_for_root_becomes_the_workers(public: Serve) -> None:
    (public.directory / "log").mkdir()
    server = start(public)
    log = public.directory / "log/access.log"
    log.rename(f"{log}.1")
    log.touch(0o640)  # logrotate: create 0640 root root
    server.kill(signal.SIGUSR1)

    def is_written() -> bool:
        assert_serves(server)
        return log.stat().st_size > 0

    server.wait_for(is_written, "a line in the new log")
    assert NOBODY is not None
    assert log.stat().st_uid == NOBODY.pw_uid
    assert server.stop() == 0
    assert "cannot reopen" not in server.log

"""Options that say which application is served."""

from ostler.config.kinds import HeaderText, Many, Maybe, Path, Text
from ostler.config.option import Group, Option

__all__ = ["Application"]


class Application(Group):
    """What to serve."""

    __slots__ = ()

    heading = "Application"
    about = "What to serve, and where its code is."

    app = Option(
        Maybe(Text("APP", "an application such as shop.wsgi:application")),
        "none",
        "The application: module:attribute, module:factory(), module (its `application` or `app`), "
        "or path/file.py:attribute. Without it, the Django project of the current directory is served "
        "by its WSGI_APPLICATION.",
        gunicorn="wsgi_app",
        uwsgi="module wsgi wsgi_file file mount",
        uvicorn="app",
    )
    chdir = Option(
        Maybe(Path("DIR", "a directory")),
        "none",
        "Change to this directory before anything else is looked for. The configuration file is found first, "
        "all other relative paths follow this directory.",
        gunicorn="chdir",
        uwsgi="chdir chdir2",
    )
    pythonpath = Option(
        Many(Path("DIR", "a directory")),
        "none",
        "Directories to put in front of Python's module path, beside the current directory, which is always on it.",
        gunicorn="pythonpath",
        uwsgi="pythonpath python_path pp",
        uvicorn="app_dir",
    )
    server_header = Option(
        Maybe(HeaderText(), word="off"),
        "ostler",
        "The value of the Server header in responses that have none of their own; off sends none.",
        uvicorn="server_header",
    )

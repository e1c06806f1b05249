import os


def application(environ, start_response):
    words = [environ["SCRIPT_NAME"], environ["PATH_INFO"], os.environ.get("GREETING", "garden")]
    body = " ".join(filter(None, words)).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

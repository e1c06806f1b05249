import beds


def create():
    def application(environ, start_response):
        body = f"{beds.KIND}: flowers".encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    return application

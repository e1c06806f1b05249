# says: tracing began in \d+
# says: request took
import time


def post_fork(server, worker):
    from garden_trace import begin

    begin(worker)


def pre_request(worker, req):
    req.begun = time.monotonic()
    worker.log.debug("%s %s", req.method, req.path)


def post_request(worker, req, environ, resp):
    took = time.monotonic() - req.begun
    worker.log.info("request took %.3f %s %s", took, resp.status_code, dict(req.headers).get("HOST"))

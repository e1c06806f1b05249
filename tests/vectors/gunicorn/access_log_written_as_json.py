# says: ^\{"time": "\[.*\]", "method": "GET", "path": "/healthz", "status": "200", "ms": \d+, "id": "-"\}
accesslog = "-"
access_log_format = (
    '{"time": "%(t)s", "method": "%(m)s", "path": "%(U)s", "status": "%(s)s", "ms": %(M)s, "id": "%({x-request-id}i)s"}'
)

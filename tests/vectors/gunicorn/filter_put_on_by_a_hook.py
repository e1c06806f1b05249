# is: capture_output=on
# unseen: GET /healthz
import logging


class NoProbes(logging.Filter):
    def filter(self, record):
        return "/healthz" not in record.getMessage()


def post_worker_init(worker):
    logging.getLogger("gunicorn.access").addFilter(NoProbes())


capture_output = True
errorlog = "-"
accesslog = "-"

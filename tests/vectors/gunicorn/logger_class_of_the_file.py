# unseen: GET /healthz
# comment: logger_class is not made
import logging

from gunicorn import glogging


class ProbeFilter(logging.Filter):
    def filter(self, record):
        return "GET /healthz" not in record.getMessage()


class GardenLogger(glogging.Logger):
    def setup(self, cfg):
        super().setup(cfg)
        logging.getLogger("gunicorn.access").addFilter(ProbeFilter())


accesslog = "-"
logger_class = GardenLogger

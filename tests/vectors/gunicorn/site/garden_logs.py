import json
import logging


class JsonFormatter(logging.Formatter):
    def format(self, record):
        return json.dumps({"level": record.levelname, "message": record.getMessage()})


class NoProbes(logging.Filter):
    def filter(self, record):
        return "GET /healthz" not in record.getMessage()


try:
    from gunicorn.glogging import Logger
except ImportError:
    Logger = object


class GardenLogger(Logger):
    def setup(self, cfg):
        super().setup(cfg)
        logging.getLogger("gunicorn.access").addFilter(NoProbes())

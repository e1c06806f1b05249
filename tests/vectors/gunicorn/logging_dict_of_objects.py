# says: ^\{"level": "INFO", "message": ".*(l|L)istening
# unseen: GET /healthz
import logging
import sys

from garden_logs import JsonFormatter, NoProbes

logconfig_dict = {
    "version": 1,
    "formatters": {"json": {"()": JsonFormatter}},
    "filters": {"no_probes": {"()": NoProbes}},
    "handlers": {
        "out": {
            "class": "logging.StreamHandler", "formatter": "json", "stream": sys.stdout, "filters": ["no_probes"],
        },
    },
    "loggers": {
        "gunicorn.error": {"level": logging.INFO, "handlers": ("out",), "propagate": False},
        "gunicorn.access": {"level": logging.INFO, "handlers": ("out",), "propagate": False},
    },
}

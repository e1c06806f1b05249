# says: ^garden: INFO
# unconverted: formatters.own.(): GardenFormatter is defined in the configuration file
import logging


class GardenFormatter(logging.Formatter):
    def format(self, record):
        return f"garden: {record.levelname} {record.getMessage()}"


logconfig_dict = {
    "version": 1,
    "formatters": {"own": {"()": GardenFormatter}},
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "own"}},
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": ["out"], "propagate": False}},
}

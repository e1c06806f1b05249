# env: DEBUG=1
# is: reload=on log_level=debug reload_extra_files=garden.env
import os

DEBUG = os.environ.get("DEBUG", "").lower() in ("1", "true")
reload = DEBUG
reload_extra_files = ["garden.env"]
reload_engine = "poll"
loglevel = "debug" if DEBUG else "warning"

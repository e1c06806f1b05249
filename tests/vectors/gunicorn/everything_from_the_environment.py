# env: WORKER_COUNT=2 GARDEN_LOG_LEVEL=trace TIMEOUT=172800
# is: workers=2 threads=256 worker_timeout=24h
# says: loglevel: trace is no level; info is used
import os

bind = f"{os.environ.get('HOST_NAME', '0.0.0.0')}:{os.environ.get('LISTEN_PORT', '8000')}"
workers = int(os.environ.get("WORKER_COUNT", "1"))
threads = int(os.getenv("THREADS", 500))
timeout = int(os.getenv("TIMEOUT", 60))
worker_class = "gthread"
loglevel = os.environ.get("GARDEN_LOG_LEVEL", "info")
accesslog = os.environ.get("ACCESS_LOG") or None

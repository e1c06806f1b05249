# env: MAX_WORKERS=2 GRACEFUL_TIMEOUT=9
# is: workers=2 graceful_timeout=9s keepalive=5s interface=asgi access_log=-
# says: "workers": 2
# app: garden_api:application
import json
import multiprocessing
import os

workers_per_core_str = os.getenv("WORKERS_PER_CORE", "1")
max_workers_str = os.getenv("MAX_WORKERS")
use_max_workers = int(max_workers_str) if max_workers_str else None
web_concurrency_str = os.getenv("WEB_CONCURRENCY", None)
host = os.getenv("HOST", "0.0.0.0")
port = os.getenv("PORT", "80")
bind_env = os.getenv("BIND", None)
use_bind = bind_env if bind_env else f"{host}:{port}"

cores = multiprocessing.cpu_count()
default_web_concurrency = float(workers_per_core_str) * cores
if web_concurrency_str:
    web_concurrency = int(web_concurrency_str)
else:
    web_concurrency = max(int(default_web_concurrency), 2)
    if use_max_workers:
        web_concurrency = min(web_concurrency, use_max_workers)

loglevel = os.getenv("LOG_LEVEL", "info")
workers = web_concurrency
bind = use_bind
errorlog = os.getenv("ERROR_LOG", "-") or None
worker_tmp_dir = "/dev/shm"
accesslog = os.getenv("ACCESS_LOG", "-") or None
graceful_timeout = int(os.getenv("GRACEFUL_TIMEOUT", "120"))
timeout = int(os.getenv("TIMEOUT", "120"))
keepalive = int(os.getenv("KEEP_ALIVE", "5"))
worker_class = "uvicorn.workers.UvicornWorker"

log_data = {"loglevel": loglevel, "workers": workers, "bind": bind, "host": host, "port": port}
print(json.dumps(log_data))

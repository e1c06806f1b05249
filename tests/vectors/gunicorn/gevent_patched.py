# is: driver=gevent workers=2 max_threads=256
# says: worker_connections: 256 requests run at once
from gevent import monkey

monkey.patch_all()

import multiprocessing

bind = "0.0.0.0:8000"
worker_class = "gevent"
worker_connections = 2000
workers = min(2, multiprocessing.cpu_count() + 1)

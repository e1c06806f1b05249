# is: workers=1
# env: PROMETHEUS_MULTIPROC_DIR=.
# unconverted: metrics_of_dead_workers.py:17 reads cfg.worker_class_str
# ends: marked dead \d+
from prometheus_client import multiprocess

accesslog = "-"
access_log_format = '%(h)s\t%(t)s\t"%(r)s" %(s)s %(D)d %(unknown)s'


def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
    server.log.info("marked dead %s", worker.pid)


def post_fork(server, worker):
    server.log.info("%s", server.cfg.worker_class_str)

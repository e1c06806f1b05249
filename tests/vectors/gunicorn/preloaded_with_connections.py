# is: preload=on max_requests=1000 max_requests_jitter=50
# says: disposed of the connections of the parent
preload_app = True
workers = 2
max_requests = 1000
max_requests_jitter = 50
worker_tmp_dir = "/dev/shm"


def post_fork(server, worker):
    from garden_database import engine

    engine.dispose()
    server.log.info("disposed of the connections of the parent")

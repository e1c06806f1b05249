# is: driver=gevent max_threads=50
# says: Made the driver green
worker_class = "gevent"
worker_connections = 50


def post_fork(server, worker):
    import garden_green

    garden_green.patch_driver()
    worker.log.info("Made the driver green")

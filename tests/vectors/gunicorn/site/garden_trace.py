def begin(worker):
    worker.log.info("tracing began in %s", worker.pid)

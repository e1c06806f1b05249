def begin(server):
    server.log.info("garden has begun")

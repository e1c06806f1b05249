# is: driver=gevent
worker_class = "geventwebsocket.gunicorn.workers.GeventWebSocketWorker"
workers = 1
timeout = 0

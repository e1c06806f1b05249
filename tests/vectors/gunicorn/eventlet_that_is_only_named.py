# is: driver=gevent
# says: eventlet is not maintained any more
worker_class = "eventlet"
workers = 1

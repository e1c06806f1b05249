# binds
# daemon: garden.pid
# is: daemon=on error_log=garden.err access_log=garden.log
bind = "unix:garden.sock"
daemon = True
pidfile = "garden.pid"
errorlog = "garden.err"
accesslog = "garden.log"
workers = 1

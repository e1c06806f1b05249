# binds
# is: umask=7 unix_mode=770 pidfile=garden.pid
bind = "unix:garden.sock"
umask = 0o007
pidfile = "garden.pid"
proc_name = "garden"
workers = 1
threads = 2

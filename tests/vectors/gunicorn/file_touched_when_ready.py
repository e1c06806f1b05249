# makes: app-initialized
# ends: good bye
def nworkers_changed(server, new_value, old_value):
    server.log.info("%s workers after %s", new_value, old_value)


def when_ready(server):
    open("app-initialized", "w").close()


def on_exit(server):
    server.log.info("good bye")

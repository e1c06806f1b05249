# app:
# is: chdir=inner app=flowers:create()
# answer: flowers
# says: in the directory inner
import os

chdir = "inner"
pythonpath = "lib,gone"
wsgi_app = "flowers:create()"


def when_ready(server):
    server.log.info("in the directory %s", os.path.basename(os.getcwd()))

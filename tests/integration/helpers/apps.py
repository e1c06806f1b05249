"""Apps for tests whose subject is the processes around them."""

# /hold waits until the test makes the file "go", and says so by the file "held"; /pid names the worker.
HOLD = """
    import os
    import time

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/hold":
            with open("held", "a") as held:
                held.write("x")
            while not os.path.exists("go"):
                time.sleep(0.005)
        body = b"%d" % os.getpid()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""


# Imports until the test makes the file "go".
SLOW = """
    import os, time
    open("importing", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.005)
    def application(environ, start_response):
        start_response("200 OK", [("Content-Length", "0")])
        return []
"""

# refused: eventlet
import eventlet

eventlet.monkey_patch()

worker_class = "eventlet"

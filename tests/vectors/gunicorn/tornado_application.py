# refused: Tornado applications are neither WSGI nor ASGI
worker_class = "tornado"
workers = 4

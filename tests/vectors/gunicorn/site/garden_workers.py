from uvicorn_worker import UvicornWorker


class GardenWorker(UvicornWorker):
    CONFIG_KWARGS = {"root_path": "/api", "lifespan": "off", "loop": "asyncio", "http": "h11"}


class OwnWorker:
    def run(self):
        raise NotImplementedError

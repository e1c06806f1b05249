# app: garden_api:application
# is: interface=asgi root_path=/api lifespan=off loop=asyncio
# says: methods that it changes in UvicornWorker do not run here
worker_class = "garden_workers.GardenWorker"
workers = 1

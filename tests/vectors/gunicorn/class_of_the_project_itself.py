# is: threads=4
# says: its own code does not run here
worker_class = "garden_workers.OwnWorker"
threads = 4

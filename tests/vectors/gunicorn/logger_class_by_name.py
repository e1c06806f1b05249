# unseen: GET /healthz
# comment: logger_class is not made
accesslog = "-"
logger_class = "garden_logs.GardenLogger"

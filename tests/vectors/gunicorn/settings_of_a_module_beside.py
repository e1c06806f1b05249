# is: workers=2 threads=3
# says: garden has begun
from garden_settings import *  # noqa: F403
from garden_settings import Settings

workers = Settings().workers
on_starting = "garden_hooks.begin"
on_exit = None

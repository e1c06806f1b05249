threads = 3


class Settings:
    workers = 2

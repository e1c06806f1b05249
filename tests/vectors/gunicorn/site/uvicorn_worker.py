class UvicornWorker:
    CONFIG_KWARGS = {"loop": "auto", "http": "auto"}

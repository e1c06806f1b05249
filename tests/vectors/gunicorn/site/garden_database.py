class Engine:
    def dispose(self):
        pass


engine = Engine()

# says: ^ini INFO .*listening
import os

logconfig = os.path.join(os.path.dirname(os.path.abspath(__file__)), "logging.ini")

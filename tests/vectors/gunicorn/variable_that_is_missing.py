# refused: variable_that_is_missing.py:4: KeyError: 'GARDEN_WORKERS'
import os

workers = int(os.environ["GARDEN_WORKERS"])

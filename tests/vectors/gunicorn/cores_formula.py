# is: workers>=3 threads=1
import multiprocessing

bind = "0:8090"
workers = multiprocessing.cpu_count() * 2 + 1

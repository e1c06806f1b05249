# ask: /garden/healthz
# answer: /garden /healthz
raw_env = ["SCRIPT_NAME=/garden"]

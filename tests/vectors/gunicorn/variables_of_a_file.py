# is: workers=1 env=GREETING=hello world,COLOUR=green
# answer: hello world
import os
from pathlib import Path

raw_env = []
for line in (Path(__file__).parent / "garden.env").read_text().splitlines():
    if line and not line.startswith("#"):
        name, _, value = line.partition("=")
        raw_env.append(f"{name}={value.strip(chr(34))}")

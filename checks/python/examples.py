"""Runs the examples of the READMEs as they are written, each in a process of its own, with what is installed here.

Usage: python checks/python/examples.py PAGE…

Where a page names the server's address, the address of one that is started here is put; the vendor's SDK is led to the
interface of the same server by the environment.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from abide_client.testing import AbideServer

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def main() -> None:
    arguments = ["--duration", "2s", "--error-chance", "0"]
    with AbideServer(clock="real", arguments=arguments) as server:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            "OPENAI_BASE_URL": f"{server.url}/dialects/openai/v1",
            "OPENAI_API_KEY": "sk-test",
        }
        for page in sys.argv[1:]:
            for number, text in enumerate(BLOCK.findall(Path(page).read_text()), 1):
                code = text.replace("http://127.0.0.1:8080", server.url)
                command = [sys.executable, "-W", "error", "-c", code]
                run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=60)
                print(f"{page}, example {number}:", run.stdout.strip(), flush=True)
                run.check_returncode()
                assert " requests" in run.stdout


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Instructions of the gateway for one request without hooks, by valgrind's callgrind: a figure that other programs on the machine do not change.

    host/benches/instructions.py GATEWAY BENCHMARK

GATEWAY is the program, BENCHMARK the gateway's benchmark as cargo built it, which is the mock upstream too. The profiles stay in the folder that is
printed, for callgrind_annotate. Kernel time is not counted, and nothing is seen of plugins: valgrind has no room for their pool.
"""
import json
import re
import socket
import subprocess
import sys
import tempfile
import time

KINDS = [("whole replies", False, "poem", 300), ("streams, event by event", True, "poem", 60), ("streams in one read", True, "burst poem", 60)]
CONFIG = """
[providers.openai]
kind = "openai"
base_url = "http://%s:%d/v1"
[[pipelines]]
id = "openai"
pipeline = [ { stage = "llm", config = { primary = { provider = "openai", model = "mock" } } } ]
"""


def start(command, folder):
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder, text=True)
    found = next(filter(None, (re.match(r"listening on http://(.*):(\d+)", line) for line in process.stdout)))
    return process, (found[1], int(found[2]))


def answer(connection, request):
    """Sends a request and reads its answer to the end."""
    connection.sendall(request)
    read = b""
    while not (b"\r\n\r\n" in read and ended(read)):
        more = connection.recv(1 << 16)
        assert more, read
        read += more
    return read


def ended(read):
    head, body = read.split(b"\r\n\r\n", 1)
    length = re.search(rb"content-length: (\d+)", head.lower())
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")


def main(gateway, benchmark):
    folder = tempfile.mkdtemp(prefix="instructions-")
    mock, upstream = start([benchmark, "mock"], folder)
    with open(f"{folder}/cofferdam.toml", "w") as config:
        config.write(CONFIG % upstream)
    profile = f"{folder}/profile"
    valgrind = ["taskset", "-c", "0", "valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}"]
    process, address = start([*valgrind, gateway, "serve", "--listen", "127.0.0.1:0"], folder)
    try:
        connection = socket.create_connection(address)
        while b" 200 " not in answer(connection, b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n"):
            time.sleep(0.2)
        for part, (what, stream, poem, requests) in enumerate(KINDS, 1):
            said = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": f"Write me a {poem} about the sea."}]
            body = json.dumps({"model": "openai", "stream": stream, "messages": said})
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            request = (head + body).encode()
            for _ in range(requests // 5):
                assert b" 200 " in answer(connection, request)
            subprocess.run(["callgrind_control", "-z", str(process.pid)], check=True, capture_output=True)
            for _ in range(requests):
                answer(connection, request)
            subprocess.run(["callgrind_control", "-d", str(process.pid)], check=True, capture_output=True)
            with open(f"{profile}.{part}") as found:
                total = int(re.search(r"^summary: (\d+)", found.read(), re.M)[1])
            print(f"{what}: {total // requests} instructions each")
        print(f"profiles: {profile}.*")
    finally:
        process.kill()
        mock.kill()


if __name__ == "__main__":
    main(*sys.argv[1:3])

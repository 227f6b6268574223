"""Fuel and processor time of one call of each guest that build.sh made: `measure.py COFFERDAM OUT c,go,js,…`, both paths absolute.

The time is that of the threads of the guests alone, so it counts lowering, running and lifting, and nothing of HTTP and JSON.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

CALLS = 3
SENTENCE = "Please write to anna.schmidt@example.com or call 4111 1111 1111 1111 about order 12345 of last week, thank you. "
CASES = {
    "one short message": [{"role": "user", "content": "Hello there, what is new?"}],
    "500 KB in one message": [{"role": "user", "content": (SENTENCE * 5000)[:500_000]}],
    "4,000 messages of 60 bytes": [{"role": ["user", "assistant"][i % 2], "content": SENTENCE[:60]} for i in range(4000)],
}


def main(binary, out, names):
    folder = f"{out}/run"
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(f"{folder}/plugins")
    config = f'listen = "127.0.0.1:0"\ndata_dir = "{folder}/data"\nplugin_dir = "{folder}/plugins"\n[limits.plugins]\nstarve_time = "1m"\n'
    for name in names:
        shutil.copy(f"{out}/fuel-{name}.wasm", f"{folder}/plugins/")
        config += f"""
            [plugins.fuel-{name}]
            limits = {{ fuel = 100_000_000_000, time = "60s", memory = "1GiB" }}
            [[pipelines]]
            id = "{name}"
            pipeline = [
                {{ stage = "pre_hook", config = {{ function_id = "fuel-{name}" }} }},
                {{ stage = "llm", config = {{ primary = {{ provider = "builtin", model = "extractive" }} }} }},
            ]
        """
    with open(f"{folder}/cofferdam.toml", "w") as file:
        file.write(config)
    server = subprocess.Popen(
        [binary, "serve", "--config", f"{folder}/cofferdam.toml"], stdout=subprocess.PIPE, stderr=open(f"{folder}/log", "w"), text=True
    )
    try:
        base = re.search(r"http://\S+", server.stdout.readline()).group(0)
        for plugin in loaded(base, len(names)):
            print(plugin["file"], plugin["state"], plugin["reason"] or "")
        for name in names:
            for case, messages in CASES.items():
                measure(server.pid, base, name, case, messages)
    finally:
        server.terminate()
        server.wait()


def loaded(base, count):
    while True:
        plugins = json.loads(get(f"{base}/api/v1/plugins"))["data"]
        if len(plugins) == count and all(plugin["state"] != "compiling" for plugin in plugins):
            return plugins
        time.sleep(1)


def measure(pid, base, name, case, messages):
    fuel, seconds = spent_fuel(base, name), guests_seconds(pid)
    for _ in range(CALLS):
        body = json.dumps({"model": name, "messages": messages}).encode()
        request = urllib.request.Request(f"{base}/v1/chat/completions", body, {"content-type": "application/json"})
        try:
            said = json.loads(urllib.request.urlopen(request).read())["choices"][0]["message"]["content"]
        except urllib.error.HTTPError as error:
            said = error.read().decode()[:200]
    fuel, seconds = spent_fuel(base, name) - fuel, guests_seconds(pid) - seconds
    print(f"{name:5} {case:27} {fuel / CALLS / 1e6:9.2f} M operators {seconds / CALLS * 1e3:8.1f} ms  found {said}", flush=True)


def spent_fuel(base, name):
    found = re.search(r'cofferdam_plugin_call_fuel_sum\{plugin="fuel-%s",hook="pre_hook"\} (\S+)' % name, get(f"{base}/metrics"))
    return float(found.group(1)) if found else 0.0


def guests_seconds(pid):
    tasks = f"/proc/{pid}/task"
    guests = [task for task in os.listdir(tasks) if open(f"{tasks}/{task}/comm").read().startswith("guest-")]
    return sum(int(open(f"{tasks}/{task}/schedstat").read().split()[0]) for task in guests) / 1e9


def get(url):
    return urllib.request.urlopen(url).read().decode()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3].split(","))

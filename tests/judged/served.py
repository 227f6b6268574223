"""The program under measure with an empty data directory, for the scripts here and in `tests/documents`."""

import json, pathlib, socket, subprocess, tempfile, time, urllib.request

EDGE = "edge-of-a-file"


class Server:
    """The program with an empty data directory."""

    def __init__(self, program, request_time="1m"):
        self.folder = tempfile.TemporaryDirectory()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.base = f"http://127.0.0.1:{probe.getsockname()[1]}"
        config = pathlib.Path(self.folder.name, "c.toml")
        config.write_text(f'listen = "{self.base[7:]}"\n[limits.http]\nrequest_time = "{request_time}"\n')
        self.process = subprocess.Popen([pathlib.Path(program).resolve(), "serve", "--config", config], cwd=self.folder.name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                urllib.request.urlopen(self.base + "/healthz")
                return
            except OSError:
                time.sleep(0.1)

    def post(self, path, body, kind="application/json"):
        request = urllib.request.Request(f"{self.base}/api/v1/gateway/apis/default/knowledge/{path}", body, {"content-type": kind})
        return json.load(urllib.request.urlopen(request))

    def upload(self, files, namespace=None):
        """Files as pairs of name and bytes."""
        part = lambda head, value: f"--{EDGE}\r\ncontent-disposition: form-data; {head}\r\n\r\n".encode() + value + b"\r\n"
        body = part('name="namespace"', namespace.encode()) if namespace else b""
        body += b"".join(part(f'name="file"; filename="{name}"', data) for name, data in files)
        return self.post("upload", body + f"--{EDGE}--\r\n".encode(), f"multipart/form-data; boundary={EDGE}")

    def ask(self, question, mode, top_k=10, namespace=None):
        """The hits, whatever their scores."""
        body = {"query": question, "mode": mode, "top_k": top_k, "score_threshold": 0, "neighbours": 0} | ({"namespace": namespace} if namespace else {})
        return self.post("test", json.dumps(body).encode())["data"]

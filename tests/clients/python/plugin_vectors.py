"""Asks a plugin for vectors with the official Python client. `plugin_vectors.py ADDRESS`; exit code 1 when a promise is broken.
Must not know how the server is made or started: `tests/it/plugin_vectors.rs` starts it."""

import sys

import openai

client = openai.OpenAI(base_url=f"http://{sys.argv[1]}/v1", api_key="none", max_retries=0, timeout=60)

# Without a wish of its caller's the client asks for base64 and decodes that.
for form in ({}, {"encoding_format": "float"}):
    answer = client.embeddings.create(model="vec", input=["one two", "three"], **form)
    assert [row.embedding for row in answer.data] == [[7.0, 2.0, 2.0], [5.0, 1.0, 2.0]], answer
    assert [row.index for row in answer.data] == [0, 1], answer

offered = client.embeddings.create(model="plugin/vectors/halves", input="text", dimensions=2)
assert offered.data[0].embedding == [0.5, -0.25], offered

listed = [model.id for model in client.models.list()]
assert "vec" in listed, listed

for arguments, status, code in (
    ({"model": "plugin/vectors/halves", "input": "text", "dimensions": 7}, 400, None),
    ({"model": "vec", "input": [1, 2, 3]}, 400, None),
    ({"model": "bad", "input": ["a", "b"]}, 502, "plugin_invalid_outcome"),
):
    try:
        client.embeddings.create(**arguments)
        raise AssertionError(f"{arguments} was answered")
    except openai.APIStatusError as error:
        assert error.status_code == status and code in (None, error.code), (arguments, error)

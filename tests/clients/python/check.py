"""Talks to a running demo with the official Python client and holds what the server wrote against the client's own types
and against OpenAI's published schema. `check.py ADDRESS`; one line a promise, exit code 1 when one is broken.
Must not know how the server is made or started: `tests/it/clients.rs` starts it."""

import asyncio
import json
import sys
from pathlib import Path

import openai
from openai.types import Model

# An isolated interpreter does not look beside the script by itself.
sys.path.insert(0, str(Path(__file__).parent))
from promises import PATIENCE, WITH_USAGE, chunks, client_of, keep, raw, refused, text_of, whole
from published import Published, strict
from responses import promises as promises_of_responses

QUESTION = {
    "model": "demo",
    "messages": [{"role": "user", "content": "How do I return a pump, and whom do I write to?"}],
}
SOURCE = "(returns.md)"
REDACTED = "[redacted e-mail]"
RAW = "desk@tidewater.example"


def quotes_and_redacts(text):
    assert SOURCE in text, f"the source is not quoted: {text}"
    assert REDACTED in text and RAW not in text, f"the address is not redacted: {text}"


def models_are_listed(client, published):
    models = raw(published, "/v1/models", client.models.with_raw_response.list)["data"]
    assert [model["id"] for model in models] == [model.id for model in client.models.list()] == ["demo"], models
    one = raw(published, "/v1/models/demo", client.models.with_raw_response.retrieve, model="demo")
    assert [strict(Model, json.dumps(model)) for model in models] == [one], (one, models)
    refused(lambda: client.models.retrieve("nope"), openai.NotFoundError, "model_not_found", published)


def an_answer_is_complete(client, published):
    answer = whole(client, published, **QUESTION)
    assert len(answer.choices) == 1 and answer.choices[0].finish_reason == "stop", answer
    assert answer.usage, answer
    quotes_and_redacts(answer.choices[0].message.content)


def a_stream_is_complete(client, published):
    read = chunks(client, published, **QUESTION, **WITH_USAGE)
    quotes_and_redacts(text_of(read))
    *deltas, last = read
    assert deltas[0].choices[0].delta.role == "assistant", deltas[0]
    assert [chunk.choices[0].finish_reason for chunk in deltas][-2:] == [None, "stop"], deltas
    assert last.choices == [] and last.usage, last
    assert all(chunk.usage is None and "usage" in chunk.model_fields_set for chunk in deltas), deltas


def an_answer_cites_what_it_quotes(client, published):
    message = whole(client, published, **QUESTION).choices[0].message
    assert message.annotations, message
    for cited in message.annotations:
        assert cited.type == "url_citation" and cited.url_citation.url.startswith("urn:uuid:"), cited
        assert 0 <= cited.url_citation.start_index < cited.url_citation.end_index, cited
    assert SOURCE.strip("()") in [cited.url_citation.title for cited in message.annotations], message
    with client.chat.completions.stream(**QUESTION) as stream:
        streamed = stream.get_final_completion().choices[0].message.annotations
    assert [cited.url_citation for cited in streamed] == [cited.url_citation for cited in message.annotations], streamed


def usage_is_streamed_only_when_asked_for(client, published):
    read = chunks(client, published, **QUESTION)
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
    an_answer_cites_what_it_quotes,
    usage_is_streamed_only_when_asked_for,
    the_clients_own_readers_agree,
    the_asynchronous_client_reads_the_same,
    errors_are_the_clients_errors,
    stages_are_switched_for_one_request,
    a_locked_stage_stays_on,
    *promises_of_responses(strict, refused, quotes_and_redacts, SOURCE),
]


def main(address):
    print(f"openai {openai.__version__}")
    with client_of(address) as client:
        return 1 if keep(PROMISES, client, Published()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""How the checks talk to the server and tell what they found. Must not know what is promised."""

import traceback

import openai
from openai.types.chat import ChatCompletionChunk

# No retries: a server that fails at times fails here. The timeout only keeps a stuck server from holding up the test.
PATIENCE = {"max_retries": 0, "timeout": 60}
WITH_USAGE = {"stream_options": {"include_usage": True}}


def client_of(address):
    return openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", **PATIENCE)


def raw(published, path, call, **body):
    """The answer of `call`, one of the client's methods with a raw response, held against all that is published."""
    answer = call(**body)
    assert answer.request_id, answer.headers
    return published.judge(path, answer.status_code, answer.headers["content-type"], answer.text)


def whole(client, published, **question):
    return raw(published, "/v1/chat/completions", client.chat.completions.with_raw_response.create, **question)


def raw_events(published, path, call, **body):
    """The events of a streamed answer: `call` is one of the client's methods with a streaming response."""
    with call(**body, stream=True) as reply:
        kind = reply.headers["content-type"]
        assert kind.startswith("text/event-stream"), reply.headers
        text = b"".join(reply.iter_bytes()).decode()
    return published.judge(path, reply.status_code, kind, text)


def chunks(client, published, **question):
    """The chunks of a streamed answer, read from its raw events."""
    read = raw_events(published, "/v1/chat/completions", client.chat.completions.with_streaming_response.create, **question)
    assert all(isinstance(chunk, ChatCompletionChunk) for chunk in read), read
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in read}) == 1, read
    return read


def text_of(chunks):
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def refused(call, kind, code, published):
    """The error that `call` raises, of that class, with that code where one is given."""
    try:
        call()
    except kind as error:
        body = published.judge("", error.status_code, "", error.response.text)
        assert error.code == body.code and code in (None, body.code), error.body
        assert body.message and error.request_id, error.response.headers
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def keep(promises, *what, subject=""):
    """Tries each promise, one line a promise; gives how many are broken."""
    broken = 0
    for promise in promises:
        name = f"{subject} {promise.__name__}".strip()
        try:
            promise(*what)
            print(f"kept: {name}")
        except Exception:
            broken += 1
            print(f"BROKEN: {name}\n{traceback.format_exc()}")
    return broken

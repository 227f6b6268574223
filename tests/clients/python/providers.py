"""Talks to providers through a running server with the official Python client, and holds what comes back against the client's own types
and OpenAI's published schema. `providers.py ADDRESS FIXTURES MODEL[+FEATURE…]…`: for each model what every provider must do, and for each
of its features (`FEATURES`; `embeddings=ID` where embeddings have a model of their own) what that promises. Exit code 1 when one is broken.
Must not know how the server is made, nor which provider is behind a model: `tests/it/clients.rs` does."""

import asyncio
import json
import sys
from pathlib import Path

import openai
from pydantic import BaseModel

# An isolated interpreter does not look beside the script by itself.
sys.path.insert(0, str(Path(__file__).parent))
from promises import PATIENCE, WITH_USAGE, chunks, client_of, keep, raw, raw_events, refused, text_of, whole
from published import Published

WARMTH = "How warm are Paris and Rome?"
CELSIUS = {"Paris": 21, "Rome": 28}


class Temperature(BaseModel):
    """How warm it is in a city."""

    city: str
    unit: str | None = None


class Person(BaseModel):
    name: str
    born: int


class Subject:
    """A model, and what the provider behind it is told to answer."""

    def __init__(self, client, published, fixtures, model):
        self.client, self.published, self.fixtures, self.model = client, published, fixtures, model
        self.tool = openai.pydantic_function_tool(Temperature, name="temperature")

    def told(self, question):
        return next(each["response"] for each in self.fixtures if each["match"].get("userMessage") == question)

    def ask(self, question):
        return {"model": self.model, "messages": [{"role": "user", "content": question}]}

    def asynchronously(self, ask):
        async def run():
            async with openai.AsyncOpenAI(base_url=self.client.base_url, api_key=self.client.api_key, **PATIENCE) as client:
                return await ask(client)

        return asyncio.run(run())


def a_whole_answer(on):
    answer = whole(on.client, on.published, **on.ask("Greet me."))
    told = on.told("Greet me.")
    assert [choice.finish_reason for choice in answer.choices] == ["stop"], answer
    assert answer.choices[0].message.content == told["content"], answer
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (11, 7, 18), answer


def a_streamed_answer(on):
    read = chunks(on.client, on.published, **on.ask("Greet me."))
    assert text_of(read) == on.told("Greet me.")["content"], read
    assert read[0].choices[0].delta.role == "assistant", read[0]
    assert [choice.finish_reason for chunk in read for choice in chunk.choices if choice.finish_reason] == ["stop"], read
    assert all("usage" not in chunk.model_fields_set and chunk.choices for chunk in read), read


def usage_in_a_stream(on):
    *deltas, last = chunks(on.client, on.published, **on.ask("Greet me."), **WITH_USAGE)
    assert last.choices == [] and last.usage.total_tokens == 18, last
    assert all(chunk.usage is None for chunk in deltas), deltas


def the_clients_stream_helper(on):
    with on.client.chat.completions.stream(**on.ask("Greet me."), **WITH_USAGE) as stream:
        said = [event.delta for event in stream if event.type == "content.delta"]
        gathered = stream.get_final_completion()
    assert "".join(said) == gathered.choices[0].message.content == on.told("Greet me.")["content"], gathered
    assert gathered.usage.total_tokens == 18, gathered


def the_asynchronous_client(on):
    async def ask(client):
        answer = await client.chat.completions.create(**on.ask("Greet me."))
        stream = await client.chat.completions.create(**on.ask("Greet me."), stream=True)
        return answer.choices[0].message.content, text_of([chunk async for chunk in stream])

    told = on.told("Greet me.")["content"]
    assert on.asynchronously(ask) == (told, told)


def are_the_calls(on, calls):
    told = [(call["name"], json.loads(call["arguments"])) for call in on.told(WARMTH)["toolCalls"]]
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == told, calls
    assert len({call.id for call in calls}) == len(calls) and all(call.id for call in calls), calls


def results_of(calls):
    for call in calls:
        celsius = CELSIUS[json.loads(call.function.arguments)["city"]]
        yield {"role": "tool", "tool_call_id": call.id, "content": json.dumps({"celsius": celsius})}


def a_round_of_tools(on):
    question = on.ask(WARMTH)
    answer = whole(on.client, on.published, **question, tools=[on.tool]).choices[0]
    assert answer.finish_reason == "tool_calls" and answer.message.content is None, answer
    are_the_calls(on, answer.message.tool_calls)
    # The client's own object goes back as it came, as people write it.
    messages = [*question["messages"], answer.message, *results_of(answer.message.tool_calls)]
    last = whole(on.client, on.published, model=on.model, messages=messages, tools=[on.tool])
    assert last.choices[0].message.content == "Paris has 21 degrees, Rome 28.", last


def a_streamed_round_of_tools(on):
    question = on.ask(WARMTH)
    read = chunks(on.client, on.published, **question, tools=[on.tool])
    heads = [call for chunk in read for call in chunk.choices[0].delta.tool_calls or [] if call.id]
    assert [call.index for call in heads] == [0, 1] and all(call.type == "function" for call in heads), heads
    with on.client.chat.completions.stream(**question, tools=[on.tool]) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        answer = stream.get_final_completion().choices[0]
    are_the_calls(on, answer.message.tool_calls)
    cities = [call.function.parsed_arguments.city for call in answer.message.tool_calls]
    assert answer.finish_reason == "tool_calls" and cities == ["Paris", "Rome"] and len(done) == 2, answer
    history = answer.message.model_dump(include={"role", "content"}) | {
        "tool_calls": [call.model_dump(include={"id": True, "type": True, "function": {"name", "arguments"}}) for call in answer.message.tool_calls]
    }
    messages = [*question["messages"], history, *results_of(answer.message.tool_calls)]
    last = chunks(on.client, on.published, model=on.model, messages=messages, tools=[on.tool])
    assert text_of(last) == "Paris has 21 degrees, Rome 28.", last


def json_to_a_schema(on):
    answer = on.client.chat.completions.parse(**on.ask("Who was Ada?"), response_format=Person)
    assert answer.choices[0].message.parsed == Person(name="Ada Lovelace", born=1815), answer
    with on.client.chat.completions.stream(**on.ask("Who was Ada?"), response_format=Person) as stream:
        gathered = stream.get_final_completion()
    assert gathered.choices[0].message.parsed == Person(name="Ada Lovelace", born=1815), gathered


def failures_are_the_clients_errors(on):
    create = on.client.chat.completions.create
    for extra in ({}, {"stream": True}):
        limited = refused(lambda: create(**on.ask("Too often!"), **extra), openai.RateLimitError, None, on.published)
        assert limited.response.headers["retry-after"] == "7", limited.response.headers
        refused(lambda: create(**on.ask("Too early!"), **extra), openai.InternalServerError, "provider_failed", on.published)


def a_cut_stream_is_an_error(on):
    said = ""
    try:
        for chunk in on.client.chat.completions.create(**on.ask("Break off."), stream=True):
            said += text_of([chunk])
    except openai.APIError as error:
        assert error.code == "upstream_cut", error.body
        assert said and on.told("Break off.")["content"].startswith(said), said
        return
    raise AssertionError(f"the client takes half an answer for a whole one: {said}")


def embeddings(on, model=None):
    create = on.client.embeddings.with_raw_response.create
    question = {"model": model or on.model, "input": ["a pump", "another pump"]}
    answer = raw(on.published, "/v1/embeddings", create, **question, encoding_format="float")
    told = next(each["response"] for each in on.fixtures if "inputText" in each["match"])["embedding"]
    assert [(each.index, each.embedding) for each in answer.data] == [(0, told), (1, told)], answer
    # By itself the client asks for base64 and decodes it.
    decoded = on.client.embeddings.create(**question)
    assert [each.embedding for each in decoded.data] == [told, told], decoded


def responses(on):
    told = on.told("Greet me.")["content"]
    question = {"model": on.model, "input": "Greet me.", "instructions": "Be brief."}
    answer = raw(on.published, "/v1/responses", on.client.responses.with_raw_response.create, **question)
    assert (answer.status, answer.output_text, answer.usage.total_tokens) == ("completed", told, 18), answer
    events = raw_events(on.published, "/v1/responses", on.client.responses.with_streaming_response.create, **question)
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed"), events
    assert [event.sequence_number for event in events] == list(range(len(events))), events
    with on.client.responses.stream(**question) as stream:
        said = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert said == stream.get_final_response().output_text == told, said
    tool = {"type": "function", "name": "temperature", "parameters": on.tool["function"]["parameters"], "strict": True}
    asked = on.client.responses.create(model=on.model, input=WARMTH, tools=[tool], store=False)
    calls = [item for item in asked.output if item.type == "function_call"]
    told_calls = [(call["name"], json.loads(call["arguments"])) for call in on.told(WARMTH)["toolCalls"]]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == told_calls, asked
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": '{"celsius": 21}'} for call in calls]
    history = [{"role": "user", "content": WARMTH}, *asked.output, *results]
    last = on.client.responses.create(model=on.model, input=history, tools=[tool], store=False)
    assert last.output_text == "Paris has 21 degrees, Rome 28.", last
    parsed = on.client.responses.parse(model=on.model, input="Who was Ada?", text_format=Person)
    assert parsed.output_parsed == Person(name="Ada Lovelace", born=1815), parsed


PROMISES = [
    a_whole_answer,
    a_streamed_answer,
    usage_in_a_stream,
    the_clients_stream_helper,
    the_asynchronous_client,
    a_round_of_tools,
    a_streamed_round_of_tools,
    json_to_a_schema,
    failures_are_the_clients_errors,
    a_cut_stream_is_an_error,
]
FEATURES = {"embeddings": embeddings, "responses": responses}


def main(address, fixtures, *subjects):
    print(f"openai {openai.__version__}")
    fixtures = json.loads(Path(fixtures).read_text())["fixtures"]
    published, broken = Published(), 0
    with client_of(address) as client:
        for subject in subjects:
            model, *features = subject.split("+")
            on = Subject(client, published, fixtures, model)
            broken += keep(PROMISES, on, subject=model)
            for feature in features:
                name, *own_model = feature.split("=")
                broken += keep([FEATURES[name]], on, *own_model, subject=model)
    return 1 if broken or not subjects else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

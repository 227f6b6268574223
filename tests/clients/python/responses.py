"""What check.py promises of the Responses API: a whole response, its stream, its errors, each against the client's types and OpenAI's
published schema. Must not know how the server is made or started; check.py hands over what it reads with."""

import json

import openai
from openai.types.responses import Response, ResponseStreamEvent

QUESTION = {"model": "demo", "input": "How do I return a pump, and whom do I write to?"}
HOSTED = {"type": "web_search"}
ASKED = {
    "instructions": "Be brief.",
    "max_output_tokens": 400,
    "metadata": {"team": "desk"},
    "reasoning": {"effort": "low"},
    "text": {"format": {"type": "text"}, "verbosity": "low"},
    "tools": [HOSTED],
    "tool_choice": "auto",
    "temperature": 0.5,
    "include": ["reasoning.encrypted_content"],
    "store": False,
}


def promises(strict, refused, quotes_and_redacts, source):
    """The promises, made with check.py's readers."""

    def whole(text, published):
        published.holds("Response", json.loads(text))
        return strict(Response, text)

    def events(client, published, **extra):
        with client.responses.with_streaming_response.create(**QUESTION, stream=True, **extra) as reply:
            assert reply.headers["content-type"].startswith("text/event-stream"), reply.headers
            lines = [line for line in reply.iter_lines() if line]
        names, data = lines[0::2], lines[1::2]
        read = []
        for name, line in zip(names, data, strict=True):
            text = line.removeprefix("data: ")
            value = json.loads(text)
            assert name == f"event: {value['type']}", (name, line)
            published.holds("ResponseStreamEvent", value)
            read.append(strict(ResponseStreamEvent, text))
        return read

    def a_response_is_complete(client, published):
        raw = client.responses.with_raw_response.create(**QUESTION)
        response = whole(raw.text, published)
        assert response.status == "completed" and response.usage and raw.request_id, raw.text
        quotes_and_redacts(response.output_text)

    def a_response_cites_what_it_quotes(client, published):
        response = whole(client.responses.with_raw_response.create(**QUESTION).text, published)
        cited = response.output[0].content[0].annotations
        assert cited and all(one.type == "file_citation" and one.file_id for one in cited), response
        assert source.strip("()") in [one.filename for one in cited], cited
        added = [event.annotation for event in events(client, published) if event.type == "response.output_text.annotation.added"]
        assert [one["file_id"] for one in map(as_fields, added)] == [one.file_id for one in cited], added

    def as_fields(value):
        return value if isinstance(value, dict) else value.model_dump()

    def a_response_repeats_what_was_asked(client, published):
        raw = client.responses.with_raw_response.create(**QUESTION, **ASKED)
        response = whole(raw.text, published)
        assert (response.instructions, response.temperature, response.metadata) == ("Be brief.", 0.5, {"team": "desk"}), raw.text
        # A tool that the server does not have is left out, and the response says so.
        assert response.tools == [] and response.text.verbosity == "low", raw.text
        assert json.loads(raw.text)["store"] is False, raw.text

    def a_streamed_response_is_complete(client, published):
        read = events(client, published)
        assert [event.sequence_number for event in read] == list(range(len(read))), read
        # As many as there are pieces, and as there are sources.
        many = ("response.output_text.delta", "response.output_text.annotation.added")
        kinds = [event.type for event in read if event.type not in many]
        assert kinds == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ], kinds
        text = "".join(event.delta for event in read if event.type == "response.output_text.delta")
        assert text == read[-1].response.output_text and read[-1].response.usage, read[-1]
        assert len({event.response.id for event in read if hasattr(event, "response")}) == 1, read
        quotes_and_redacts(text)

    def the_clients_own_response_readers_agree(client, published):
        said = client.responses.create(**QUESTION).output_text
        with client.responses.stream(**QUESTION) as stream:
            streamed = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            gathered = stream.get_final_response()
        assert said == streamed == gathered.output_text, (said, streamed, gathered)
        turn = [{"role": "user", "content": QUESTION["input"]}, *gathered.output, {"role": "user", "content": QUESTION["input"]}]
        quotes_and_redacts(client.responses.create(model="demo", input=turn).output_text)

    def errors_of_responses_are_the_clients_errors(client, published):
        create = client.responses.create
        refused(lambda: create(**QUESTION | {"model": "nope"}), openai.NotFoundError, "model_not_found", published)
        for stream in (False, True):
            for extra, param in [
                ({"previous_response_id": "resp_1"}, "previous_response_id"),
                ({"background": True}, "background"),
                ({"truncation": "auto"}, "truncation"),
                ({"tools": [HOSTED], "tool_choice": HOSTED}, "tool_choice.type"),
                ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
            ]:
                call = lambda: create(**QUESTION | extra, stream=stream)
                bad = refused(call, openai.BadRequestError, "invalid_value", published)
                assert bad.param == param, bad.body

    def stages_are_switched_for_one_response(client, published):
        off = client.responses.create(**QUESTION, extra_body={"pipeline": {"rag": False}})
        assert source not in off.output_text, off

    return [
        a_response_is_complete,
        a_response_cites_what_it_quotes,
        a_response_repeats_what_was_asked,
        a_streamed_response_is_complete,
        the_clients_own_response_readers_agree,
        errors_of_responses_are_the_clients_errors,
        stages_are_switched_for_one_response,
    ]

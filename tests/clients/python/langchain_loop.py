"""LangChain's ChatOpenAI in front of providers, through a running server: tools called and answered until there is a
reply, whole and streamed, a typed answer, and the same over the Responses API. `langchain_loop.py ADDRESS FIXTURES MODEL…`: what the
providers are told to answer, and the models. Must not know how the server is made, nor which provider is behind a model."""

import json
import os
import sys
from pathlib import Path

# Of the user's own settings none changes what is tested, and nothing is reported to anybody.
for name in [name for name in os.environ if name.startswith(("LANGCHAIN_", "LANGSMITH_", "OPENAI_"))]:
    del os.environ[name]

from langchain_core.messages import HumanMessage, ToolMessage  # noqa: E402
from langchain_core.tools import tool  # noqa: E402
from langchain_openai import ChatOpenAI  # noqa: E402
from pydantic import BaseModel  # noqa: E402

GREETING, WARMTH, ADA = "Greet me.", "How warm are Paris and Rome?", "Who was Ada?"
ANSWER = "Paris has 21 degrees, Rome 28."
CELSIUS = {"Paris": 21, "Rome": 28}


class Person(BaseModel):
    """A person of history."""

    name: str
    born: int


@tool
def temperature(city: str, unit: str | None = None) -> str:
    """How warm it is in a city."""
    return json.dumps({"celsius": CELSIUS[city]})


class Subject:
    def __init__(self, address, fixtures, model, responses):
        self.fixtures = fixtures
        # No retries: a server that fails at times fails here. In front of another server than OpenAI's it asks for no usage by itself.
        own = {"max_retries": 0, "timeout": 60, "stream_usage": True, "use_responses_api": responses}
        self.chat = ChatOpenAI(model=model, base_url=f"http://{address}/v1", api_key="none", **own)

    def told(self, question):
        return next(each["response"] for each in self.fixtures if each["match"].get("userMessage") == question)


def whole(llm, messages):
    return llm.invoke(messages)


def streamed(llm, messages):
    first, *others = llm.stream(messages)
    for chunk in others:
        first += chunk
    return first


def text_of(message):
    # Of the Responses API the content is a list of blocks.
    return message.content if isinstance(message.content, str) else "".join(block.get("text", "") for block in message.content)


def an_answer(on, ask):
    message = ask(on.chat, GREETING)
    assert text_of(message) == on.told(GREETING)["content"], message
    usage = message.usage_metadata
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (11, 7, 18), message


def a_loop_with_a_tool(on, ask):
    llm, messages, called = on.chat.bind_tools([temperature]), [HumanMessage(WARMTH)], []
    while True:
        message = ask(llm, messages)
        messages.append(message)
        assert not message.invalid_tool_calls, message
        if not message.tool_calls:
            break
        for call in message.tool_calls:
            called.append((call["name"], call["args"]))
            messages.append(ToolMessage(temperature.invoke(call["args"]), tool_call_id=call["id"]))
        assert len(messages) < 9, messages
    told = [(call["name"], json.loads(call["arguments"])) for call in on.told(WARMTH)["toolCalls"]]
    assert called == told, called
    assert text_of(message) == ANSWER, message


def a_typed_answer(on, ask):
    # By itself it asks for a JSON schema.
    answer = ask(on.chat.with_structured_output(Person), ADA) if ask is whole else list(on.chat.with_structured_output(Person).stream(ADA))[-1]
    assert answer == Person(name="Ada Lovelace", born=1815), answer


def main(address, fixtures, *models):
    fixtures = json.loads(Path(fixtures).read_text())["fixtures"]
    kept = 0
    for model in models:
        for responses in (False, True):
            on = Subject(address, fixtures, model, responses)
            for promise in (an_answer, a_loop_with_a_tool, a_typed_answer):
                for ask in (whole, streamed):
                    print(model, "responses" if responses else "chat", promise.__name__, ask.__name__, flush=True)
                    promise(on, ask)
                    kept += 1
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

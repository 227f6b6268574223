"""OpenAI's Agents SDK with its defaults in a loop with a tool, through the gateway at the address given. The provider behind it calls the tool
once and then answers with what the tool said. A tool of OpenAI's servers is offered too, as the SDK's examples do."""

import asyncio
import os
import sys

os.environ["OPENAI_BASE_URL"] = f"http://{sys.argv[1]}/v1"
os.environ["OPENAI_API_KEY"] = "none"
os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"

from agents import Agent, Runner, WebSearchTool, function_tool  # noqa: E402


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


async def main():
    agent = Agent(name="weather", instructions="Be brief.", model="p", tools=[get_weather, WebSearchTool()])
    whole = await Runner.run(agent, "How is the weather in Oslo?")
    assert whole.final_output == "sunny in Oslo", whole.final_output
    streamed = Runner.run_streamed(agent, "How is the weather in Oslo?")
    async for _ in streamed.stream_events():
        pass
    assert streamed.final_output == "sunny in Oslo", streamed.final_output


asyncio.run(main())

import re
from wit_world.imports.shapes import Message, Part_Text, TextPart
from wit_world.exports import plugin, pre_hook

EMAIL = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9-]+\.[A-Za-z]+")
CARD = re.compile(r"[0-9]{4}[ -][0-9]{4}[ -][0-9]{4}[ -][0-9]{4}")

class Plugin:
    def describe(self):
        return plugin.Description("fuel-py", "1.0.0", "Measures.", None, None, None)

class PreHook:
    def on_request(self, request):
        emails = cards = words = 0
        for message in request.messages:
            text = "".join(part.value.text for part in message.content if isinstance(part, Part_Text)).lower()
            emails += len(EMAIL.findall(text))
            cards += len(CARD.findall(text))
            words += len(text.split(" "))
        said = TextPart(f"{emails} {cards} {words}", [])
        return pre_hook.Outcome_Respond(Message("assistant", [Part_Text(said)], [], None, None, []))

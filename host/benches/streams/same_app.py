from wit_world.imports.shapes import Delta
from wit_world.exports import plugin, stream_hook

# Gives back what it gets, delta by delta, as a hook does that looks at each.

class Plugin:
    def describe(self):
        return plugin.Description("python", "1.0.0", "Measures.", None, None, None)

class StreamHook:
    def open(self, opening):
        return stream_hook.Mode.TRANSFORM

    def push(self, deltas):
        return stream_hook.Step_Emit([Delta(delta.choice, delta.piece) for delta in deltas])

    def close(self, ending):
        return stream_hook.Farewell(stream_hook.Step_Keep(), [])

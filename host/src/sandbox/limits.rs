//! Limits of one call and of all calls together. Every default carries its reason; the keys and their ranges are in `config/limits.rs`.

use std::time::Duration;

/// Limits of one hook call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Wasm operators; one is about a nanosecond on interpreters, less on compiled code.
    pub fuel: u64,
    /// Bytes of all linear memories together.
    pub memory: usize,
    /// The same of a component made of several that may hand each other much at once, if it is less.
    pub composed_memory: usize,
    /// Elements of all tables together.
    pub table_elements: usize,
    /// The guest's own running, in processor time, and its sleeping. What it waits for its turns is not in it.
    pub time: Duration,
    /// All of a stream hook's running along one reply, from `open` to `close`.
    pub reply_time: Duration,
    /// Its waiting in host calls for what the host does on its behalf, all of them together.
    pub wait: Duration,
    /// Bytes that the call may return.
    pub output: usize,
    /// Bytes that the guest may hand to one host call, e.g. a log line before it is cut.
    pub hostcall_bytes: usize,
    /// Log lines that one call may write; the rest is dropped and counted.
    pub log_lines: u32,
    /// Bytes kept of one log line.
    pub log_line_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // More than a call gets done within its `time` in any language, so that time decides; docs/limits.md has the figures.
            fuel: 2_000_000_000,
            // Python needs 13 MB, Go 3 MB; the rest is for the conversation.
            memory: 64 << 20,
            // A string of as much as fits is copied in 32 ms at worst; nothing interrupts that.
            composed_memory: 16 << 20,
            // C#, Python and JavaScript engines declare more than 10 000.
            table_elements: 100_000,
            time: Duration::from_millis(500),
            // A reply of ten thousand pushes at a millisecond each, which an interpreter takes.
            reply_time: Duration::from_secs(10),
            // An answer from a service nearby takes a second at worst; a slower one is better done without than waited for.
            wait: Duration::from_secs(5),
            output: 8 << 20,
            // A guest that logs its whole input by mistake should not fault for it.
            hostcall_bytes: 1 << 20,
            log_lines: 100,
            log_line_bytes: 2_000,
        }
    }
}

/// Limits of all plugins together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Hook calls at once; the pool of instances has as many permits.
    pub calls: u32,
    /// Hook calls of one plugin at once, so that one slow plugin leaves permits to the others.
    pub calls_per_plugin: u32,
    /// Replies at once that a stream hook goes along with; the pool of instances has as many further places.
    pub streams: u32,
    /// Of them, those of one plugin.
    pub streams_per_plugin: u32,
    /// Bytes of linear memory of all stream hooks' instances together. Apart from `memory`, because they live as long as their replies.
    pub streams_memory: usize,
    /// Bytes of one reply that have arrived and wait for one stream hook.
    pub stream_buffer: usize,
    /// Answers at once of plugins that are models; the pool of instances has as many further places.
    pub model_calls: u32,
    /// Of them, those of one plugin.
    pub model_calls_per_plugin: u32,
    /// Bytes of linear memory of all models' instances together. Apart from `memory`, because they live as long as their replies.
    pub model_memory: usize,
    /// Models of one plugin.
    pub models_per_plugin: usize,
    /// How long a plugin's list of models is good.
    pub models_ttl: Duration,
    /// Texts whose vectors one call of a plugin computes.
    pub embed_texts: usize,
    /// Bytes of these texts, unless it is one alone.
    pub embed_bytes: usize,
    /// Numbers of one vector.
    pub embed_numbers: usize,
    /// Calls of done-hooks at once; they have permits, places in the pool and memory of their own.
    pub done_calls: u32,
    /// Of these, calls of one plugin.
    pub done_calls_per_plugin: u32,
    /// Bytes of linear memory of all running done-hooks together.
    pub done_memory: usize,
    /// Calls of one plugin's done-hook that wait or run.
    pub done_queue: usize,
    /// Bytes of the exchanges that they are told of.
    pub done_queue_bytes: usize,
    /// Bytes kept of all exchanges that are under way and that a done-hook will be told of.
    pub done_bytes: usize,
    /// Bytes kept of one reply for done-hooks.
    pub done_reply_bytes: usize,
    /// How long a call may wait for its permits.
    pub queue_time: Duration,
    /// Threads for calls that are not known to be short; 0: one for each processor.
    pub threads: usize,
    /// How long a call that could run may be without a thread that runs it, in all.
    pub starve_time: Duration,
    /// Bytes of linear memory of all running calls together.
    pub memory: usize,
    /// Bytes of the replies of other servers that plugins are being sent, of all calls together.
    pub replies_bytes: usize,
    /// Connections to other servers that are kept for plugins while nothing is asked over them, of all plugins together.
    pub idle_connections: usize,
    /// Bytes of a file in the plugin directory.
    pub file_bytes: u64,
    /// Files in the plugin directory.
    pub files: usize,
    /// Seconds of CPU time that compiling one component may take.
    pub compile_time: Duration,
    /// Bytes of private memory (`RLIMIT_DATA`) that compiling one component may take.
    pub compile_memory: u64,
    /// Components that are compiled at once; one more whose first try was too short is compiled beside them.
    pub compiles: usize,
    /// Bytes that a component's initial memories and tables may take in its machine code, gaps included.
    pub image_bytes: u64,
    /// Bytes of machine code that one component may become.
    pub compiled_file_bytes: u64,
    /// Bytes of all machine code that is kept.
    pub compiled_bytes: u64,
    /// Components whose machine code is kept for restarts and for going back to an older version.
    pub compiled: usize,
    /// Bytes of the components that are kept as the last good version of each plugin.
    pub last_good_bytes: u64,
    /// Time without a further change in the directory before it is read.
    pub debounce: Duration,
    /// Time between two scans without a reported change, for file systems that report none.
    pub poll: Duration,
}

/// What one call of an embedder is handed at most, and may give back: texts, their bytes, and numbers of each vector.
#[derive(Clone, Copy, Debug)]
pub(super) struct EmbedBatch {
    pub(super) texts: usize,
    pub(super) bytes: usize,
    pub(super) numbers: usize,
}

impl ServerLimits {
    /// Takes from the limits that are `running` those of the engine's pool and of threads, which were made when the server started.
    pub fn keep_what_needs_a_restart(&mut self, running: &Self) {
        let Self { calls, streams, model_calls, done_calls, threads, .. } = *running;
        *self = Self { calls, streams, model_calls, done_calls, threads, ..self.clone() };
    }

    /// What one call that computes vectors is handed and may give back.
    pub(super) fn embed_batch(&self) -> EmbedBatch {
        EmbedBatch { texts: self.embed_texts, bytes: self.embed_bytes, numbers: self.embed_numbers }
    }

    /// The number behind `threads`.
    pub(super) fn guest_threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            calls: 256,
            calls_per_plugin: 128,
            // They do not hurry: with a second each for a webhook, sixteen are told of a thousand exchanges a minute.
            done_calls: 16,
            done_calls_per_plugin: 4,
            // Half of them at the default limit of one call's memory.
            done_memory: 512 << 20,
            // A minute of four calls of a second each.
            done_queue: 256,
            done_queue_bytes: 16 << 20,
            // A thousand conversations of 64 KB.
            done_bytes: 64 << 20,
            // Sixty thousand tokens.
            done_reply_bytes: 256 << 10,
            // A thousand and more calls of a Rust plugin, a hundred of an interpreter.
            memory: 2 << 30,
            // Sixty of the largest replies that a plugin gets by default.
            replies_bytes: 256 << 20,
            // Those of thirty plugins at the default of a grant; each has buffers of up to about 100 KB.
            idle_connections: 256,
            // An idle instance is about 40 KB in Rust, 220 KB in QuickJS and a megabyte in Python.
            streams: 1_024,
            streams_per_plugin: 512,
            streams_memory: 2 << 30,
            // Some thousand deltas: more than arrives while one push runs.
            stream_buffer: 256 << 10,
            // An answer may take minutes, most of it waiting; an instance in Rust takes some dozen KB meanwhile.
            model_calls: 256,
            model_calls_per_plugin: 128,
            model_memory: 2 << 30,
            // More than people choose from.
            models_per_plugin: 64,
            models_ttl: Duration::from_secs(300),
            // A small model inside a plugin takes some milliseconds for a text, and a call has half a second.
            embed_texts: 64,
            // Sixty-four texts of a thousand tokens.
            embed_bytes: 256 << 10,
            // Twice those of the longest vectors in use.
            embed_numbers: 8_192,
            queue_time: Duration::from_secs(1),
            threads: 0,
            // As `queue_time`: a client that waits longer is better told to come back.
            starve_time: Duration::from_secs(1),
            // A Python component is 18 MB, a SpiderMonkey one 12 MB.
            file_bytes: 32 << 20,
            files: 256,
            // Python takes 20 s of one core.
            compile_time: Duration::from_secs(120),
            compile_memory: 4 << 30,
            // Each takes one processor, at a low priority.
            compiles: 2,
            // Python's is the largest in use, some dozens of MB.
            image_bytes: 128 << 20,
            // Python's are 40 MB.
            compiled_file_bytes: 256 << 20,
            compiled_bytes: 2 << 30,
            // Small ones are 200 KB, those of JavaScript and Python engines up to 40 MB.
            compiled: 256,
            // Fifty of the largest components in use.
            last_good_bytes: 1 << 30,
            debounce: Duration::from_millis(200),
            poll: Duration::from_secs(5),
        }
    }
}

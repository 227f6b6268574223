//! The limits of the HTTP room, each with its default and the reason for it.
//! Invariant: each has a key of the same name under `[limits.http]`, which a test of `config` demands.

use std::time::Duration;

use crate::chat::Sizes;

/// Limits of the server and of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From a connection's start to the end of its first request's head; also what a connection that was told to close may still take.
    pub header_time: Duration,
    /// Bytes of a request's head, at least 8 KiB; over it the answer is 431.
    pub header_bytes: usize,
    /// From an answer's end to the next request's whole head on the same connection.
    pub idle_time: Duration,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Bytes that the bodies of all requests hold together, with what is made of them: of a value 128 bytes beside its text.
    pub bodies_bytes: usize,
    /// Objects and lists inside each other in a JSON body.
    pub body_depth: usize,
    /// Values in a JSON body: objects, lists, texts, numbers and words. The numbers of embeddings' lists of tokens are not counted.
    pub body_values: usize,
    /// Fields of a JSON body that this program does not know, in objects of which it knows others: it keeps them one by one.
    pub body_fields: usize,
    /// Messages of a chat, items of a response's input.
    pub messages: usize,
    /// Parts of all messages together.
    pub parts: usize,
    /// Calls of tools in all messages together.
    pub tool_calls: usize,
    /// Tools that are offered to the model.
    pub tools: usize,
    /// Bodies of more than 64 KiB that are parsed at once, on threads of their own; others wait. Clients take turns.
    pub parses: usize,
    /// From a request's head to its body's last byte.
    pub body_time: Duration,
    /// Requests at once whose bodies are still coming in; more are answered 503 at once. Clients share them.
    pub bodies: usize,
    /// Bytes of a streamed response that `/v1/responses` holds, because its last events say it all once more.
    pub response_bytes: usize,
    /// Bytes of a knowledge upload with everything around its files.
    pub upload_bytes: usize,
    /// Files in one upload.
    pub upload_files: usize,
    /// Bytes of the texts of an upload together over which it goes on in the background, unless its client wants to wait.
    pub background_bytes: usize,
    /// Uploads in the background that wait and run, those that run, and the bytes of their files. Clients share all three.
    pub jobs: usize,
    pub jobs_running: usize,
    pub jobs_bytes: usize,
    /// How long one may run; files that are not stored by then are not.
    pub job_time: Duration,
    /// Ended ones whose outcome is remembered, and how long.
    pub jobs_kept: usize,
    pub jobs_kept_time: Duration,
    /// How long an upload of a plugin waits until it was tried.
    pub admission_time: Duration,
    /// Connections at once; for one more the longest idle one is closed.
    pub connections: usize,
    /// Connections at once to the addresses of `admin.listen`, which those to the others take no room from.
    pub admin_connections: usize,
    /// From the first byte of a TLS handshake that may be sent to its end.
    pub handshake_time: Duration,
    /// TLS handshakes of one peer that go on at once; its others wait.
    pub handshakes: usize,
    /// How often it is looked whether the files of `[tls]` have changed.
    pub certificate_time: Duration,
    /// Requests at once on `/v1`, from their body's last byte to their answer's; more are answered 503 at once. Clients share them.
    pub requests: usize,
    /// Requests at once on `/api`, which those on `/v1` take no place from. Clients share them.
    pub admin_requests: usize,
    /// How long a client may take nothing of an answer that waits for it.
    pub write_time: Duration,
    /// Bytes of all whole answers that wait to be sent; more are answered 503. Clients share them. Answers that need no key share a sixteenth
    /// of as many, apart from these.
    pub answer_bytes: usize,
    /// How long hooks may hold a stream back until its client gets the head of the answer and a comment, and after it the next; none at 0.
    pub waiting_time: Duration,
    /// A whole exchange, its stream included.
    pub request_time: Duration,
    /// How long requests may go on after the signal to stop.
    pub drain_time: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// Texts in one embeddings request.
    pub embedding_inputs: usize,
    /// Reloads of the configuration that wait for their turn; more are refused.
    pub reloads: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A head is one packet or two. Ten seconds is a bad mobile link; more is somebody who holds a connection for its own sake.
            header_time: Duration::from_secs(10),
            // Enough for the long cookies of a proxy in front of us. It is also the size of the buffer that bodies are read through.
            header_bytes: 64 << 10,
            // Longer than the 60 s for which load balancers keep theirs, so that this side never closes a connection while a request is on its way.
            idle_time: Duration::from_secs(75),
            // A full context of a million tokens is 4 MB of text; a few inline images make it more.
            body_bytes: 16 << 20,
            // Sixteen of the largest bodies, of which one caller alone gets twelve. Nothing is ever made of a body that takes more than four
            // times what it reserved, so this is a gigabyte at the worst.
            bodies_bytes: 256 << 20,
            // A deep schema of a tool has twenty. JSON parsers commonly stop at 128, ours among them.
            body_depth: 100,
            // A conversation of five thousand turns with calls of tools has half of it.
            body_values: 100_000,
            // Two of the client's own in each of as many messages as there may be.
            body_fields: 20_000,
            messages: 10_000,
            parts: 20_000,
            tool_calls: 10_000,
            // OpenAI takes 128.
            tools: 1_000,
            // Parsing must not take the processor from what is being served.
            parses: 2,
            // 16 MiB over a 3 Mbit/s line.
            body_time: Duration::from_secs(45),
            // Most bodies are there with their head, and the rest come as fast as the line allows. With `requests` it is no more than
            // `connections`, so that even clients that send and read nothing leave room for others to connect.
            bodies: 512,
            // Two million tokens of text; the longest reply of a model is a tenth of that.
            response_bytes: 8 << 20,
            // A thick book with its pictures, or many small documents.
            upload_bytes: 32 << 20,
            upload_files: 32,
            // As much text takes the built-in embedder two minutes, which is longer than proxies wait; a smaller upload is answered when it is stored.
            background_bytes: 4 << 20,
            jobs: 64,
            // As many as threads embed, and processes read files.
            jobs_running: 2,
            // Eight of the largest uploads, of which one client alone has six.
            jobs_bytes: 256 << 20,
            // A library of books.
            job_time: Duration::from_secs(3_600),
            // Some megabytes.
            jobs_kept: 1_000,
            // Whoever asks, asks every few seconds.
            jobs_kept_time: Duration::from_secs(3_600),
            // A Python component takes 20 s to compile.
            admission_time: Duration::from_secs(60),
            // The usual soft limit of open files is 1024, and more on servers. An idle connection costs some 20 KB.
            connections: 1024,
            // A scraper, a dashboard, and whoever looks into what is wrong.
            admin_connections: 64,
            // Three round trips over a bad mobile link.
            handshake_time: Duration::from_secs(5),
            // As many as a processor does in some fifty milliseconds; behind a proxy all clients are one peer.
            handshakes: 64,
            // Two looks until a new certificate is served; whoever renews one does it days before.
            certificate_time: Duration::from_secs(10),
            // Half of the connections may work while the others idle.
            requests: 512,
            // Operators and their scripts; an upload may take minutes.
            admin_requests: 64,
            // As long as a phone is without a net in a tunnel.
            write_time: Duration::from_secs(30),
            // Eight of the largest replies (`limits.providers.reply_bytes`) to clients that are slow; others hold theirs for milliseconds.
            answer_bytes: 256 << 20,
            // Proxies close connections that are idle for 30 to 60 s; most hooks are done long before.
            waiting_time: Duration::from_secs(15),
            // OpenAI's own clients wait ten minutes.
            request_time: Duration::from_secs(600),
            // What supervisors commonly wait before they kill.
            drain_time: Duration::from_secs(30),
            // The least that RFC 9113 recommends; with it one client cannot take all of `requests`.
            streams: 100,
            // OpenAI's own limit.
            embedding_inputs: 2_048,
            // One takes a fraction of a second; each that waits reads the file that is there when its turn comes.
            reloads: 4,
        }
    }
}

impl Limits {
    /// Takes from the limits that are `running` those of connections and of queues that were made when the server started.
    pub fn keep_what_needs_a_restart(&mut self, running: &Self) {
        let Self { header_time, header_bytes, idle_time, connections, write_time, drain_time, streams, reloads, .. } = running.clone();
        // Connections end a request that outlives its time by their own clock.
        let Self { request_time, admin_connections, handshake_time, handshakes, certificate_time, .. } = running.clone();
        *self = Self { header_time, header_bytes, idle_time, connections, write_time, drain_time, streams, reloads, ..self.clone() };
        *self = Self { request_time, admin_connections, handshake_time, handshakes, certificate_time, ..self.clone() };
    }

    /// What a JSON body may hold.
    pub(super) fn sizes(&self) -> Sizes {
        Sizes {
            depth: self.body_depth,
            values: self.body_values,
            fields: self.body_fields,
            messages: self.messages,
            parts: self.parts,
            tool_calls: self.tool_calls,
            tools: self.tools,
            inputs: self.embedding_inputs,
        }
    }
}

//! The limits of this room, with their defaults and the reasons for them.
//! Every field is a key of the same name under `[limits.providers]`.

use std::time::Duration;

/// Limits of one attempt, and of all attempts for one exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub connect: Duration,
    /// From when there is a connection, so that sending the request counts, to the first event of a streamed reply. A whole reply is bounded
    /// by `total` alone.
    pub first_byte: Duration,
    /// Between two reads of a streamed reply.
    pub idle: Duration,
    /// A whole attempt, streamed or not.
    pub total: Duration,
    /// One event of a stream; also everything that comes before the first event with content.
    pub event_bytes: usize,
    /// A reply in one piece.
    pub reply_bytes: usize,
    /// All replies that are being received, whole or by events; shared between clients.
    pub replies_bytes: usize,
    /// Idle connections kept per provider host.
    pub idle_connections: usize,
    /// Retries at the same target.
    pub retries: u32,
    /// All pauses of one exchange before retries; also the longest `Retry-After` that is waited for.
    pub retry_budget: Duration,
    /// The longest pause before the first retry; doubles with each further one.
    pub retry_backoff: Duration,
    /// Failures in a row that open a caller's circuit of a provider and key, and those of two callers that open everyone's; with 0 no circuit
    /// opens, whatever the provider says.
    pub circuit_failures: u32,
    /// How long a circuit stays open at first; doubles with each probe that fails.
    pub circuit_time: Duration,
    /// The longest time that a circuit stays open, whatever the provider says.
    pub circuit_time_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            // Reasoning models think for a while before their first token.
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            // OpenAI's own clients wait ten minutes.
            total: Duration::from_secs(600),
            event_bytes: 4 << 20,
            reply_bytes: 32 << 20,
            // Sixteen of the largest replies at one time; most replies are so small that they are not counted at all.
            replies_bytes: 512 << 20,
            idle_connections: 64,
            // As OpenAI's own clients do.
            retries: 2,
            // Longer, and the next provider has answered before the wait is over.
            retry_budget: Duration::from_secs(5),
            retry_backoff: Duration::from_millis(200),
            circuit_failures: 5,
            circuit_time: Duration::from_secs(10),
            circuit_time_max: Duration::from_secs(600),
        }
    }
}

impl Limits {
    /// Whether single attempts are bounded alike. The other limits are of all attempts at an exchange, and of all replies.
    pub(super) fn bound_an_attempt_as(&self, other: &Self) -> bool {
        let of = |limits: &Self| {
            let Self { connect, first_byte, idle, total, event_bytes, reply_bytes, idle_connections, .. } = *limits;
            (connect, first_byte, idle, total, event_bytes, reply_bytes, idle_connections)
        };
        of(self) == of(other)
    }
}

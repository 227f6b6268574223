//! HTTP/2 with prior knowledge: the same answers, the limit of streams.

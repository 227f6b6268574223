//! Knowledge: documents cut into chunks, embedded, kept in SQLite, found again by similarity.
//! SQLite is the truth; the vector index is derived from it. Must not know pipelines, HTTP or plugins.

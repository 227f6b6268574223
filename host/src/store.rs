//! Opening and migrating the SQLite file; pipelines kept in it.

//! The steps from an empty file to today's tables. A step that was released is never edited; a new shape is a new step.
//! The file's `user_version` counts the steps done.

use rusqlite::{Connection, TransactionBehavior};

use super::error::Error;

/// Step `n` (counted from 0) takes a file of version `n` to version `n + 1`.
pub(super) const STEPS: &[&str] = &[
    "CREATE TABLE pipelines (
         id   TEXT PRIMARY KEY,
         json TEXT NOT NULL
     ) STRICT;",
    // `model` is the embedder's that made the vectors of the document's chunks: vectors of two models cannot be compared.
    // Chunk ids are never used twice (AUTOINCREMENT), so that an index can tell by ids alone whether it agrees with this table.
    "CREATE TABLE documents (
         id        TEXT PRIMARY KEY,
         api       TEXT NOT NULL,
         namespace TEXT NOT NULL,
         name      TEXT NOT NULL,
         sha256    TEXT NOT NULL,     -- of the text, in hex
         bytes     INTEGER NOT NULL,
         model     TEXT NOT NULL,
         created   INTEGER NOT NULL,  -- Unix time in seconds
         UNIQUE (api, namespace, name)
     ) STRICT;
     CREATE TABLE chunks (
         id          INTEGER PRIMARY KEY AUTOINCREMENT,
         document_id TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
         ordinal     INTEGER NOT NULL,
         text        TEXT NOT NULL,
         vector      BLOB NOT NULL,   -- little-endian f32
         UNIQUE (document_id, ordinal)
     ) STRICT;",
    // Whole numbers that only grow. `caller` is empty if no key was used; `cost` is in millionths of a dollar, of the `priced` replies.
    "CREATE TABLE use_by_day (
         day        TEXT NOT NULL,     -- 2026-11-22, in UTC
         pipeline   TEXT NOT NULL,
         caller     TEXT NOT NULL,
         provider   TEXT NOT NULL,
         model      TEXT NOT NULL,
         replies    INTEGER NOT NULL,
         prompt     INTEGER NOT NULL,  -- tokens
         completion INTEGER NOT NULL,
         cached     INTEGER NOT NULL,  -- of the prompt
         reasoning  INTEGER NOT NULL,  -- of the completion
         estimated  INTEGER NOT NULL,  -- replies
         priced     INTEGER NOT NULL,  -- replies
         cost       INTEGER NOT NULL,
         PRIMARY KEY (day, pipeline, caller, provider, model)
     ) STRICT, WITHOUT ROWID;",
    // One row for each budget of a key or an end user, replaced each time. It is written before a provider is asked.
    "CREATE TABLE budgets (
         account TEXT NOT NULL,
         budget  TEXT NOT NULL,     -- the limit's key in the operator's file
         begun   TEXT NOT NULL,     -- the first day of its day or month, 2026-11-01, in UTC
         used    INTEGER NOT NULL,  -- tokens, or millionths of a dollar
         PRIMARY KEY (account, budget)
     ) STRICT, WITHOUT ROWID;",
    // A namespace that is deleted is hidden by one row at once; what it held is deleted in small steps afterwards. All that is shown, counted
    // or found is read through the view. The indexes are for lists by page.
    "CREATE TABLE deleted_namespaces (
         api       TEXT NOT NULL,
         namespace TEXT NOT NULL,
         PRIMARY KEY (api, namespace)
     ) STRICT, WITHOUT ROWID;
     CREATE VIEW live_documents AS
         SELECT * FROM documents d
         WHERE NOT EXISTS (SELECT 1 FROM deleted_namespaces x WHERE x.api = d.api AND x.namespace = d.namespace);
     CREATE INDEX documents_of_namespace ON documents (api, namespace, id);
     CREATE INDEX documents_of_api ON documents (api, id);",
    // What the API put in the place of the settings of the operator's file, as it was given.
    "CREATE TABLE plugin_settings (
         plugin  TEXT PRIMARY KEY,
         version INTEGER NOT NULL,  -- counts the changes, deletions too
         json    TEXT               -- none if it was deleted
     ) STRICT, WITHOUT ROWID;",
    // Words of chunks, by chunk id. Every token begins with the number of its namespace, which is never used twice, so that a search reads the
    // postings of its own namespace alone. What was there before is the backlog: chunks after `done` may have no words yet.
    "ALTER TABLE chunks ADD COLUMN heading TEXT NOT NULL DEFAULT '';
     ALTER TABLE chunks ADD COLUMN page INTEGER;
     ALTER TABLE documents ADD COLUMN title TEXT;
     ALTER TABLE documents ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';  -- a flat JSON object
     CREATE TABLE namespaces (
         id   INTEGER PRIMARY KEY AUTOINCREMENT,
         api  TEXT NOT NULL,
         name TEXT NOT NULL,
         UNIQUE (api, name)
     ) STRICT;
     INSERT INTO namespaces (api, name) SELECT DISTINCT api, namespace FROM documents;
     CREATE VIRTUAL TABLE keywords USING fts5 (
         words, content = '', contentless_delete = 1,
         tokenize = \"porter unicode61 remove_diacritics 2 categories 'L* N* Co M*'\");
     CREATE TRIGGER keywords_go_with_chunks AFTER DELETE ON chunks BEGIN DELETE FROM keywords WHERE rowid = old.id; END;
     CREATE TABLE keyword_backlog (done INTEGER NOT NULL) STRICT;
     INSERT INTO keyword_backlog SELECT 0 WHERE EXISTS (SELECT 1 FROM chunks);",
    // A hash by which the same content is known again; of documents of an earlier release it is not known.
    "ALTER TABLE documents ADD COLUMN content TEXT NOT NULL DEFAULT '';
     CREATE INDEX documents_of_content ON documents (api, namespace, content);",
    // The spaces of a namespace's vectors: the one that it is searched in (`serves`), and one that a reindex fills. Vectors of the latter are in
    // `next_vectors`; a swap puts them in force by one row, and they take the places of the old ones in small steps until that is `settled`.
    // Before then the two views tell which model and which vector are in force, and every search reads them there. Ids are never used twice.
    // `embedder` is empty for what an earlier release embedded, and so is `model` where it left vectors of several models.
    "CREATE TABLE spaces (
         id         INTEGER PRIMARY KEY AUTOINCREMENT,
         api        TEXT NOT NULL,
         namespace  TEXT NOT NULL,
         serves     INTEGER NOT NULL,  -- 0 or 1
         settled    INTEGER NOT NULL,  -- 0 or 1
         embedder   TEXT NOT NULL,     -- its name in the operator's file
         model      TEXT NOT NULL,
         dimensions INTEGER NOT NULL,
         UNIQUE (api, namespace, serves)
     ) STRICT;
     CREATE TABLE next_vectors (
         chunk_id INTEGER PRIMARY KEY REFERENCES chunks (id) ON DELETE CASCADE,
         space    INTEGER NOT NULL,
         vector   BLOB NOT NULL        -- little-endian f32
     ) STRICT;
     CREATE INDEX next_vectors_of_space ON next_vectors (space);
     INSERT INTO spaces (api, namespace, serves, settled, embedder, model, dimensions)
         SELECT api, namespace, 1, 1, '', iif(least = most, most, ''),
                coalesce((SELECT length(c.vector) / 4 FROM chunks c WHERE c.document_id = first LIMIT 1), 0)
         FROM (SELECT api, namespace, min(model) AS least, max(model) AS most, min(id) AS first FROM documents GROUP BY api, namespace);
     DROP VIEW live_documents;
     CREATE VIEW live_documents AS
         SELECT d.id, d.api, d.namespace, d.name, d.sha256, d.bytes, d.created, d.title, d.metadata, d.content,
                coalesce((SELECT s.model FROM spaces s
                          WHERE s.api = d.api AND s.namespace = d.namespace AND s.serves = 1 AND s.settled = 0), d.model) AS model
         FROM documents d
         WHERE NOT EXISTS (SELECT 1 FROM deleted_namespaces x WHERE x.api = d.api AND x.namespace = d.namespace);
     CREATE VIEW live_chunks AS
         SELECT c.id, c.document_id, c.ordinal, c.text, c.heading, c.page,
                coalesce((SELECT n.vector FROM next_vectors n JOIN spaces s ON s.id = n.space
                          WHERE n.chunk_id = c.id AND s.serves = 1), c.vector) AS vector
         FROM chunks c;",
];

/// The steps of `kv.db`, which plugins fill.
pub(super) const KV_STEPS: &[&str] = &[
    // `owner` is empty for a plugin's own keys. `version` never comes twice: `openings` is its upper part.
    "CREATE TABLE kv (
         id      INTEGER PRIMARY KEY,
         plugin  TEXT NOT NULL,
         owner   TEXT NOT NULL,
         key     TEXT NOT NULL,
         value   BLOB NOT NULL,
         version INTEGER NOT NULL,
         expires INTEGER,           -- Unix time in milliseconds
         UNIQUE (plugin, owner, key)
     ) STRICT;
     CREATE INDEX kv_expires ON kv (expires) WHERE expires IS NOT NULL;
     CREATE INDEX kv_expires_of_plugin ON kv (plugin, expires) WHERE expires IS NOT NULL;
     CREATE TABLE openings (times INTEGER NOT NULL) STRICT;
     INSERT INTO openings VALUES (0);",
    // What each plugin keeps, so that nobody has to count all rows to know it. `bytes` is of owners, keys and values.
    "CREATE TABLE used (
         plugin TEXT PRIMARY KEY,
         keys   INTEGER NOT NULL,
         bytes  INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;
     INSERT INTO used SELECT plugin, count(*), sum(length(CAST(owner AS BLOB)) + length(CAST(key AS BLOB)) + length(value)) FROM kv GROUP BY plugin;",
];

/// Does the steps that the file lacks, each in its own transaction.
///
/// # Errors
/// `Newer` for a file of a later release; `Sql` if a step fails, which leaves the file at the step before.
pub(super) fn run(connection: &mut Connection, steps: &[&str]) -> Result<(), Error> {
    loop {
        // Immediate: of two connections that open an old file at once, the second must see the first one's version.
        let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found: i64 = step.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let known = steps.len() as i64;
        let done = usize::try_from(found).ok().filter(|done| *done <= steps.len()).ok_or(Error::Newer { found, known })?;
        let Some(sql) = steps.get(done) else { return Ok(()) };
        step.execute_batch(sql)?;
        step.pragma_update(None, "user_version", found + 1)?;
        step.commit()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(connection: &Connection) -> i64 {
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    #[test]
    fn an_old_file_is_upgraded_step_by_step_and_keeps_its_rows() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, &STEPS[..1]).unwrap();
        connection.execute("INSERT INTO pipelines VALUES ('support', '{}')", []).unwrap();
        assert_eq!(version(&connection), 1);
        run(&mut connection, STEPS).unwrap();
        assert_eq!(version(&connection), STEPS.len() as i64);
        let rows: (String, i64) = connection
            .query_row("SELECT id, (SELECT count(*) FROM chunks) FROM pipelines", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(rows, ("support".into(), 0));
        run(&mut connection, STEPS).unwrap();
        assert_eq!(version(&connection), STEPS.len() as i64);
    }

    #[test]
    fn a_step_that_fails_is_undone_whole() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = [STEPS[0], "CREATE TABLE half (id INTEGER); INSERT INTO nowhere VALUES (1);"];
        assert!(matches!(run(&mut connection, &steps), Err(Error::Sql(_))));
        assert_eq!(version(&connection), 1);
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'half'", [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 0);
    }
}

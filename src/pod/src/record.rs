//! Records of pods and containers in state.db.

use peapod_store::Migration;

/// This room's tables.
pub const MIGRATIONS: &[Migration] = &[Migration {
    room: "pod",
    version: 1,
    sql: "
        CREATE TABLE pods (
            id    TEXT PRIMARY KEY,
            spec  TEXT NOT NULL,
            state TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE containers (
            id    TEXT PRIMARY KEY,
            pod   TEXT NOT NULL REFERENCES pods(id) ON DELETE CASCADE,
            spec  TEXT NOT NULL,
            state TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX containers_of_pod ON containers(pod);
    ",
}];

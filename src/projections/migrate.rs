//! The read side's tables, from the SQL in `projections/`: numbered, additive, idempotent.

use crate::store::{Store, StoreError};

/// The table all queries start from.
pub const EVENTS: &str = "events";

/// One file of `projections/`.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// File name.
    pub name: &'static str,
    /// Its text; `{table:Identifier}` stands for the events table.
    pub sql: &'static str,
}

/// All of them, in order.
pub const ALL: [Migration; 2] = [
    Migration {
        name: "0001_events.sql",
        sql: include_str!("../../projections/0001_events.sql"),
    },
    Migration {
        name: "0002_dirty_months.sql",
        sql: include_str!("../../projections/0002_dirty_months.sql"),
    },
];

/// Creates the database and what is missing in it.
pub async fn migrate(store: &Store) -> Result<(), StoreError> {
    store.create_database().await?;
    for migration in ALL {
        tracing::debug!(migration = migration.name, "applied");
        store.define(&with_table(migration.sql, EVENTS)).await?;
    }
    Ok(())
}

/// Creates a second events table beside the serving one, for a rebuild.
pub async fn create_beside(store: &Store, table: &str) -> Result<(), StoreError> {
    store.define(&with_table(ALL[0].sql, table)).await
}

/// The engine takes no parameters in CREATE TABLE; the name is always one of our own.
fn with_table(sql: &str, table: &str) -> String {
    sql.replace("{table:Identifier}", table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_in_order_and_can_run_twice() {
        let mut names: Vec<_> = ALL.iter().map(|migration| migration.name).collect();
        names.sort_unstable();
        assert_eq!(names, ALL.map(|migration| migration.name));
        for migration in ALL {
            assert!(migration.sql.contains("IF NOT EXISTS"), "{}", migration.name);
        }
    }
}

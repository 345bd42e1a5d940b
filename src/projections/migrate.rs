//! The read side's tables, from the SQL in `projections/`: numbered, additive, idempotent.

use crate::store::{Store, StoreError};

/// The table all queries start from.
pub const EVENTS: &str = "events";

/// Stands in a migration for the events table.
const TABLE: &str = "{table:Identifier}";

/// One file of `projections/`.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// File name.
    pub name: &'static str,
    /// Its text; `{table:Identifier}` stands for the events table.
    pub sql: &'static str,
}

/// All of them, in order.
pub const ALL: [Migration; 5] = [
    Migration {
        name: "0001_events.sql",
        sql: include_str!("../../projections/0001_events.sql"),
    },
    Migration {
        name: "0002_dirty_months.sql",
        sql: include_str!("../../projections/0002_dirty_months.sql"),
    },
    Migration {
        name: "0003_revisions.sql",
        sql: include_str!("../../projections/0003_revisions.sql"),
    },
    Migration {
        name: "0004_visible_from.sql",
        sql: include_str!("../../projections/0004_visible_from.sql"),
    },
    Migration {
        name: "0005_views.sql",
        sql: include_str!("../../projections/0005_views.sql"),
    },
];

/// Creates the database and what is missing in it.
pub async fn migrate(store: &Store) -> Result<(), StoreError> {
    store.create_database().await?;
    for migration in ALL {
        tracing::debug!(migration = migration.name, "applied");
        for statement in migration.statements() {
            store.define(&with_table(statement, EVENTS)).await?;
        }
    }
    Ok(())
}

/// Creates a second events table beside the serving one, for a rebuild, which signs it. An error where there is one.
pub async fn create_beside(store: &Store, table: &str, signature: &str) -> Result<(), StoreError> {
    store.define(&beside(table, signature)).await?;
    for migration in ALL.iter().skip(1).filter(|migration| migration.is_of_events()) {
        store.define(&with_table(migration.sql, table)).await?;
    }
    Ok(())
}

impl Migration {
    /// Its statements: a line of its own with a semicolon stands between two.
    fn statements(&self) -> impl Iterator<Item = &'static str> {
        self.sql.split("\n;\n")
    }

    /// Whether it is about the events table, whatever that one's name.
    fn is_of_events(&self) -> bool {
        self.sql.contains(TABLE)
    }
}

fn beside(table: &str, signature: &str) -> String {
    let sql = with_table(ALL[0].sql, table).replacen("IF NOT EXISTS ", "", 1);
    format!("{sql}\nCOMMENT '{signature}'")
}

/// The engine takes no parameters in CREATE TABLE; the name is always one of our own.
fn with_table(sql: &str, table: &str) -> String {
    sql.replace(TABLE, table)
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
            for statement in migration.statements() {
                let again = ["IF NOT EXISTS", "OR REPLACE"]
                    .iter()
                    .any(|again| statement.contains(again));
                assert!(again, "{}: {statement}", migration.name);
            }
        }
    }

    #[test]
    fn a_second_table_is_made_by_one_rebuild_alone_which_signs_it() {
        let sql = beside("other", "rebuild 7");
        assert!(
            sql.contains("CREATE TABLE other\n") && sql.ends_with("\nCOMMENT 'rebuild 7'"),
            "{sql}"
        );
    }
}

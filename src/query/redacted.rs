//! What was redacted, as a print. A file of events is kept with the print of when it was begun: where that has changed, a
//! redaction took effect since, and the file may hold what it took away.

use clickhouse::Row;
use serde::Deserialize;

use super::export::Export;
use super::filter::Filter;
use super::scope::Scope;
use super::{Queries, QueryError, sql};
use crate::store::row::REDACTED_VERSION;
use crate::store::{Statement, Value};

#[derive(Row, Deserialize)]
struct Print {
    print: u64,
}

impl Queries {
    /// The print of what is redacted in the time of an export, whatever else it asks for: redacted events may not satisfy
    /// it any more. It is another one as soon as a redaction can be searched, or an amendment of what was redacted.
    pub async fn redactions(&self, scope: &Scope, export: &Export) -> Result<String, QueryError> {
        let filter = Filter {
            time: export.search.filter.time,
            received: export.search.filter.received,
            system: true,
            ..Filter::default()
        };
        let mut statement = Statement::new();
        // The highest of each event: merges, and the order in which rows come, change nothing.
        statement.push("SELECT groupBitXor(cityHash64(event_id, newest)) AS print");
        statement.push(" FROM (SELECT event_id, max(version) AS newest FROM events");
        sql::push_where(&mut statement, &scope.whole(), &filter);
        statement
            .push(" AND version >= ")
            .bind("UInt64", Value::number(REDACTED_VERSION))
            .push(" GROUP BY event_id)");
        let ask = |sql| async move { self.store().rows::<Print>(&sql).await };
        let rows = self.turns().ask(scope.tenant(), statement, ask).await?;
        Ok(rows
            .first()
            .map_or_else(String::new, |row| format!("{:016x}", row.print)))
    }
}

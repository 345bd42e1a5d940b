//! How many events a clean-up would take away.

use clickhouse::Row;
use serde::Deserialize;

use super::filter::{Filter, Range};
use super::{Queries, QueryError, sql};
use crate::auth::Principal;
use crate::clock::Timestamp;
use crate::event::TenantId;
use crate::store::Statement;

#[derive(Row, Deserialize)]
struct Counted {
    events: u64,
}

impl Queries {
    /// Exactly how many events of a tenant are shown and happened before a moment, the server's own among them. Only for
    /// those who see all of them.
    pub async fn count_before(
        &self,
        principal: &Principal,
        tenant: &TenantId,
        before: Timestamp,
    ) -> Result<u64, QueryError> {
        let scope = self.scope(principal, Some(tenant))?;
        if scope.is_restricted() {
            let why = "Your reading is limited: you may not clean up what you may not see.";
            return Err(QueryError::Forbidden(why.to_owned()));
        }
        let filter = Filter {
            time: Range {
                from: None,
                to: Some(before),
            },
            system: true,
            ..Filter::default()
        };
        let dirty = self.store().dirty_months().await?;
        let mut statement = Statement::new();
        statement.push("SELECT count() AS events FROM events");
        if dirty.iter().any(|month| filter.time.meets(*month)) {
            statement.push(" FINAL");
        }
        sql::push_where(&mut statement, &scope, &filter);
        let rows = self
            .turns()
            .ask(scope.tenant(), statement, |sql| async move {
                self.store().rows::<Counted>(&sql).await
            })
            .await?;
        Ok(rows.first().map_or(0, |row| row.events))
    }

    /// Tells the views from when on a tenant's events are shown.
    pub async fn show_from(&self, tenant: &TenantId, visible_from: Timestamp) -> Result<(), QueryError> {
        Ok(self.store().show_from(tenant, visible_from).await?)
    }
}

//! Clean-ups in the table: from when on a tenant's events are shown, and the deletion of those before.

use super::statement::{Statement, Value};
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::event::TenantId;

impl Store {
    /// Tells the views from when on a tenant's events are shown. The highest moment that was told holds.
    pub async fn show_from(&self, tenant: &TenantId, visible_from: Timestamp) -> Result<(), StoreError> {
        let mut statement = Statement::new();
        statement.push("INSERT INTO visible_from (tenant_id, visible_from) SELECT ");
        statement.bind("String", Value::text(tenant.as_str())).push(", ");
        push_moment(&mut statement, visible_from);
        self.execute(&statement).await
    }

    /// Deletes a tenant's rows of before a moment, where there are any; says whether there were.
    pub async fn delete_before(&self, tenant: &TenantId, before: Timestamp) -> Result<bool, StoreError> {
        let mut statement = Statement::new();
        statement.push("SELECT count() AS rows FROM events");
        push_before(&mut statement, tenant, before);
        if self.count_of(&statement).await? == 0 {
            return Ok(false);
        }
        let mut statement = Statement::new();
        statement.push("ALTER TABLE events DELETE");
        push_before(&mut statement, tenant, before);
        statement.set("mutations_sync", 1);
        self.run_slowly(&statement).await?;
        Ok(true)
    }
}

fn push_before(statement: &mut Statement, tenant: &TenantId, before: Timestamp) {
    statement
        .push(" WHERE tenant_id = ")
        .bind("String", Value::text(tenant.as_str()))
        .push(" AND time < ");
    push_moment(statement, before);
}

fn push_moment(statement: &mut Statement, at: Timestamp) {
    statement
        .push("fromUnixTimestamp64Micro(")
        .bind("Int64", Value::number(at.micros()))
        .push(", 'UTC')");
}

//! Commands about what tenants keep: searches, schemas of event types, exports.

use super::rules::{Decision, expect, seen};
use super::{EXPORTS_MAX, Refusal, SCHEMA_BYTES_MAX, SCHEMAS_MAX, SEARCHES_MAX, State};
use crate::control::command::{Command, Envelope};
use crate::control::entity::{EventSchema, Export, ExportState, SavedSearch, parse_schema_id};

/// How many versions of one schema are kept in mind.
const VERSIONS_MAX: usize = 20;

impl State {
    pub(super) fn create_search(&mut self, envelope: &Envelope) -> Decision {
        let Command::CreateSearch { tenant, name, query } = &envelope.command else {
            return Err(Refusal::NotFound);
        };
        self.expect_room(envelope, tenant, &self.searches, SEARCHES_MAX)?;
        Ok(self.searches.put(SavedSearch {
            id: envelope.id.as_str().into(),
            tenant: tenant.clone(),
            name: name.as_str().into(),
            query: query.as_str().into(),
            created_by: envelope.by.who.as_str().into(),
            version: 1,
            created_at: envelope.at,
        }))
    }

    pub(super) fn update_search(&mut self, envelope: &Envelope) -> Decision {
        let Command::UpdateSearch { name, query } = &envelope.command else {
            return Err(Refusal::NotFound);
        };
        let search = seen(&self.searches, envelope)?;
        let changed = SavedSearch {
            name: name.as_deref().map_or_else(|| search.name.clone(), Into::into),
            query: query.as_deref().map_or_else(|| search.query.clone(), Into::into),
            version: search.version + 1,
            ..SavedSearch::clone(search)
        };
        Ok(self.searches.put(changed))
    }

    pub(super) fn put_schema(&mut self, envelope: &Envelope, schema: &str) -> Decision {
        let (tenant, event_type) = parse_schema_id(&envelope.id).ok_or(Refusal::NotFound)?;
        self.expect_tenant(envelope, &tenant)?;
        let mut versions = match self.schemas.get(&envelope.id) {
            Some(found) => {
                expect(envelope, found.version)?;
                found.versions.clone()
            }
            None => {
                self.expect_room(envelope, &tenant, &self.schemas, SCHEMAS_MAX)?;
                Vec::new()
            }
        };
        if versions.len() >= VERSIONS_MAX {
            versions.remove(0);
        }
        versions.push(schema.into());
        let others = self.schemas.of(&tenant).filter(|other| *other.id != *envelope.id);
        let texts = others.flat_map(|other| &other.versions).chain(&versions);
        if texts.map(|text| text.len()).sum::<usize>() > SCHEMA_BYTES_MAX {
            return Err(Refusal::TooLong {
                max: SCHEMA_BYTES_MAX,
            });
        }
        Ok(self.schemas.put(EventSchema {
            id: envelope.id.as_str().into(),
            event_type: event_type.into(),
            tenant,
            versions,
            created_by: envelope.by.who.as_str().into(),
            version: envelope.expected_version + 1,
            created_at: envelope.at,
        }))
    }

    pub(super) fn create_export(&mut self, envelope: &Envelope) -> Decision {
        let Command::CreateExport {
            tenant,
            query,
            format,
            compression,
            instance,
            expires_at,
        } = &envelope.command
        else {
            return Err(Refusal::NotFound);
        };
        self.expect_room(envelope, tenant, &self.exports, EXPORTS_MAX)?;
        Ok(self.exports.put(Export {
            id: envelope.id.as_str().into(),
            tenant: tenant.clone(),
            query: query.as_str().into(),
            format: format.as_str().into(),
            compression: compression.as_deref().map(Into::into),
            instance: instance.as_str().into(),
            state: ExportState::Queued,
            expires_at: *expires_at,
            created_by: envelope.by.who.as_str().into(),
            version: 1,
            created_at: envelope.at,
        }))
    }

    /// What is finished stays as it is, until its file goes: it has the digest of that file.
    pub(super) fn update_export(&mut self, envelope: &Envelope, state: &ExportState) -> Decision {
        let export = seen(&self.exports, envelope)?;
        let may_be = match export.state {
            ExportState::Queued | ExportState::Running => true,
            ExportState::Done { .. } | ExportState::Failed { .. } => *state == ExportState::Expired,
            ExportState::Expired => false,
        };
        if !may_be {
            return Err(Refusal::Conflict {
                expected: envelope.expected_version,
                found: export.version,
            });
        }
        let changed = Export {
            state: state.clone(),
            version: export.version + 1,
            ..Export::clone(export)
        };
        Ok(self.exports.put(changed))
    }
}

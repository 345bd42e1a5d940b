//! Records that the gate would refuse again for their tenant, taken in on an operator's word.
//!
//! Whoever may write to the inbox can put any tenant into a header, so nothing in a record can carry the word: it goes
//! through the door from here, in the name of the tenant that was named on the command line.

use std::sync::Arc;

use crate::app::{self, Connections, Following};
use crate::auth::Principal;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::event::{TenantId, draft, schema};
use crate::ingest::{Form, Ingest, IngestError, Item, Origin, Parts};
use crate::limit::Limits;
use crate::log::framing::{Framed, unframe};
use crate::log::rejected::Rejected;
use crate::store::progress::Progress;

/// The door, and the control state that it asks.
pub(super) struct Door {
    ingest: Ingest,
    following: Following,
}

impl Door {
    pub(super) async fn open(config: &Config, connections: &Connections) -> anyhow::Result<Self> {
        let following = app::control(config, &connections.log).await?;
        let ingest = Ingest::new(Parts {
            log: connections.log.clone(),
            store: connections.store.clone(),
            limits: Limits::new(&config.limits),
            control: following.control.clone(),
            clock: Arc::new(SystemClock),
            framing: app::framing(connections.registry.as_deref()).await?,
            progress: Progress::default(),
        });
        Ok(Self { ingest, following })
    }

    /// Takes a record in; the reason where it stays. Its place in the inbox serves as its id where it has none, so a
    /// second replay makes no second event.
    pub(super) async fn take(&self, tenant: &TenantId, rejected: &Rejected) -> Result<(), String> {
        if self.following.control.state().tenant(tenant).is_none() {
            return Err(format!("there is no tenant {tenant}"));
        }
        let headers = headers(rejected);
        let item = Item {
            form: form(rejected, &headers)?,
            client_id: None,
            place: Some(&rejected.origin),
        };
        let principal = Principal::system(tenant.clone(), "replay");
        let origin = Origin {
            kind: "kafka",
            id: None,
        };
        loop {
            match self.ingest.take(&principal, origin, &[item]).await {
                Ok(mut outcomes) => {
                    return match outcomes.pop() {
                        Some(Err(error)) => Err(error.to_string()),
                        _ => Ok(()),
                    };
                }
                Err(IngestError::Limited(limited)) => tokio::time::sleep(limited.retry_after).await,
            }
        }
    }
}

fn headers(rejected: &Rejected) -> Vec<(&str, &[u8])> {
    let headers = rejected.record.headers.iter();
    headers
        .map(|(name, value)| (name.as_str(), value.as_slice()))
        .collect()
}

/// As the gate reads it, but for Avro of other schemas.
fn form<'a>(rejected: &'a Rejected, headers: &'a [(&'a str, &'a [u8])]) -> Result<Form<'a>, String> {
    let header = |name: &str| {
        headers
            .iter()
            .find(|(found, _)| *found == name)
            .map(|(_, value)| *value)
    };
    match unframe(&rejected.record.payload) {
        Framed::SingleObject(fingerprint, record) if fingerprint == schema::fingerprint() => {
            Ok(Form::Mapped {
                record,
                map: draft::accept_datum,
            })
        }
        Framed::SingleObject(..) | Framed::Confluent(..) => {
            Err("only the gate reads Avro of other schemas: list its tenant in gate.allow_tenants".to_owned())
        }
        Framed::Bare(body) if header("ce_specversion").is_some() => Ok(Form::CloudEvent {
            headers,
            content_type: header("content-type").and_then(|value| std::str::from_utf8(value).ok()),
            body,
        }),
        Framed::Bare(body) => Ok(Form::Event(body)),
    }
}

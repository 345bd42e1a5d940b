//! Records that the gate would refuse again for their tenant, taken in on an operator's word.
//!
//! Whoever may write to the inbox can put any tenant into a header, so nothing in a record can carry the word: it goes
//! through the door from here, in the name of the tenant that was named on the command line.

use std::sync::Arc;

use crate::app::{self, Connections, Following};
use crate::auth::Principal;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::event::TenantId;
use crate::gate::read;
use crate::ingest::{Ingest, Item, Origin, Parts};
use crate::limit::Limits;
use crate::log::registry::Registry;
use crate::log::rejected::Rejected;
use crate::schemas::Schemas;
use crate::store::progress::Progress;

/// The door, and the control state that it asks.
pub(super) struct Door {
    ingest: Ingest,
    following: Following,
    registry: Option<Arc<Registry>>,
}

impl Door {
    pub(super) async fn open(config: &Config, connections: &Connections) -> anyhow::Result<Self> {
        let following = app::control(config, &connections.log).await?;
        let ingest = Ingest::new(Parts {
            log: connections.log.clone(),
            store: connections.store.clone(),
            limits: Arc::new(Limits::new(&config.limits)),
            schemas: Schemas::default(),
            control: following.control.clone(),
            clock: Arc::new(SystemClock),
            framing: app::framing(connections.registry.as_deref()).await?,
            progress: Progress::default(),
        });
        let registry = connections.registry.clone();
        Ok(Self {
            ingest,
            following,
            registry,
        })
    }

    /// Takes a record in; the reason where it stays. Its place in the inbox serves as its id where it has none, so a
    /// second replay makes no second event.
    pub(super) async fn take(&self, tenant: &TenantId, rejected: &Rejected) -> Result<(), String> {
        if self.following.control.state().tenant(tenant).is_none() {
            return Err(format!("there is no tenant {tenant}"));
        }
        let record = &rejected.record;
        let body = read::body(record, self.registry.as_deref())
            .await
            .map_err(|error| error.to_string())?;
        let body = body.map_err(|unread| unread.detail)?;
        let headers = read::headers(record);
        let item = Item {
            form: read::form(record, &body, &headers),
            client_id: None,
            place: Some(&rejected.origin),
        };
        let principal = Principal::system(tenant.clone(), "replay");
        let origin = Origin {
            kind: "kafka",
            id: None,
        };
        match self.ingest.take(&principal, origin, &[item]).await.pop() {
            Some(Err(error)) => Err(error.to_string()),
            _ => Ok(()),
        }
    }
}

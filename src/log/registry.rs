//! A Confluent-compatible schema registry (Redpanda has one built in), by its documented REST routes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::{Config, LogError};

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// A connection to the registry. Schemas never change once they have an id, so each is asked for once; what the
/// registry can't give is asked for again.
pub struct Registry {
    url: String,
    login: Option<(String, SecretString)>,
    http: reqwest::Client,
    schemas: Mutex<HashMap<u32, Arc<apache_avro::Schema>>>,
}

impl Registry {
    /// The configured registry; `None` when there is none.
    pub fn new(config: &Config) -> Result<Option<Self>, LogError> {
        if config.schema_registry.is_empty() {
            return Ok(None);
        }
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .build()
            .map_err(|error| {
                LogError::Misconfigured(format!("no HTTP client for the schema registry: {error}"))
            })?;
        let login = (!config.schema_registry_username.is_empty()).then(|| {
            let password = config.schema_registry_password.clone().unwrap_or_default();
            (config.schema_registry_username.clone(), password)
        });
        let url = config.schema_registry.trim_end_matches('/').to_owned();
        Ok(Some(Self {
            url,
            login,
            http,
            schemas: Mutex::default(),
        }))
    }

    /// Registers a schema for the values of a topic, or finds it: the same schema gets the same id.
    pub async fn register(&self, topic: &str, schema: &str) -> Result<u32, LogError> {
        #[derive(Deserialize)]
        struct Registered {
            id: u32,
        }
        let url = format!("{}/subjects/{topic}-value/versions", self.url);
        let request = self.http.post(url).header("content-type", MEDIA_TYPE);
        let body = json!({ "schema": schema, "schemaType": "AVRO" }).to_string();
        Ok(self.send::<Registered>(request.body(body)).await?.id)
    }

    /// The schema of an id.
    pub async fn schema(&self, id: u32) -> Result<Arc<apache_avro::Schema>, LogError> {
        #[derive(Deserialize)]
        struct Found {
            schema: String,
        }
        if let Some(known) = self.known().get(&id) {
            return Ok(known.clone());
        }
        let found: Found = self
            .send(self.http.get(format!("{}/schemas/ids/{id}", self.url)))
            .await?;
        let schema = apache_avro::Schema::parse_str(&found.schema).map_err(|error| {
            LogError::Refused(format!("schema {id} of the registry is no Avro schema: {error}"))
        })?;
        Ok(self.known().entry(id).or_insert(Arc::new(schema)).clone())
    }

    /// Asks for a schema anew the next time: this one can't be right, whatever the registry said.
    pub fn forget(&self, id: u32) {
        self.known().remove(&id);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Arc<apache_avro::Schema>>> {
        self.schemas
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    async fn send<T: for<'de> Deserialize<'de>>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, LogError> {
        let request = request.header("accept", MEDIA_TYPE);
        let request = match &self.login {
            Some((user, password)) => request.basic_auth(user, Some(password.expose_secret())),
            None => request,
        };
        let away = |error: reqwest::Error| {
            LogError::Unavailable(format!("the schema registry: {}", error.without_url()))
        };
        let answer = request.send().await.map_err(away)?;
        let status = answer.status();
        if status.is_success() {
            return answer.json().await.map_err(away);
        }
        let text: String = answer
            .text()
            .await
            .unwrap_or_default()
            .chars()
            .take(300)
            .collect();
        match status.as_u16() {
            404 | 409 | 422 => Err(LogError::Refused(format!(
                "the schema registry answered {status}: {text}"
            ))),
            401 | 403 => Err(LogError::Misconfigured(format!(
                "the schema registry answered {status}: check log.schema_registry_username and _password"
            ))),
            _ => Err(LogError::Unavailable(format!(
                "the schema registry answered {status}: {text}"
            ))),
        }
    }
}

//! The doors of a server, and those who come in: over HTTP under every kind of credential, over Kafka, into ClickHouse.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use reqwest::Method;
use serde_json::{Value, json};

use super::super::caller::{Answer, Caller};
use super::super::unique;
use super::super::wait::until_some;
use super::{App, PASSWORD};

impl App {
    /// Somebody without a credential.
    pub fn stranger(&self) -> Caller {
        Caller::new(&format!("http://{}", self.at().web), "", None)
    }

    /// Logs somebody in; gives the whole answer.
    pub async fn login(&self, user: &str, password: &str) -> Value {
        let body = json!({"username": user, "password": password});
        self.stranger().post("/login", &body).await.expect(200)
    }

    /// The first user: operator, and admin of `default`.
    pub async fn operator(&self) -> Caller {
        let token = self.operator.get_or_init(|| async {
            self.login("admin", PASSWORD).await["token"]
                .as_str()
                .unwrap()
                .to_owned()
        });
        Caller::new(
            &format!("http://{}", self.at().web),
            "default",
            Some(token.await.clone()),
        )
    }

    /// A fresh tenant, and a key of its admin's.
    pub async fn tenant(&self, about: &str) -> Caller {
        let name = unique(about);
        self.named_tenant(&name).await
    }

    /// A tenant of this name, made where there is none, and a key of its admin's.
    pub async fn named_tenant(&self, name: &str) -> Caller {
        let made = self.manage("/api/v1/tenants", &json!({"id": name})).await;
        assert!(matches!(made.status.as_u16(), 201 | 409), "{}", made.text());
        self.key(name, &["admin"]).await
    }

    /// What an operator asks for, again while the server is not sure of its control state (a crowded machine).
    async fn manage(&self, path: &str, wanted: &Value) -> Answer {
        let operator = self.operator().await;
        until_some("control state can be changed", async || {
            let answer = operator.post(path, wanted).await;
            (answer.status != 503).then_some(answer)
        })
        .await
    }

    /// An API key.
    pub async fn key(&self, tenant: &str, roles: &[&str]) -> Caller {
        let wanted = json!({"name": "story", "tenant_id": tenant, "roles": roles});
        let operator = self.operator().await;
        let made = self.manage("/api/v1/keys", &wanted).await.expect(201);
        let mut caller = operator.with(made["key"].as_str());
        caller.tenant = tenant.to_owned();
        caller
    }

    /// A user with these roles, logged in.
    pub async fn user(&self, tenant: &str, roles: &[&str]) -> Caller {
        let name = unique("user");
        let wanted = json!({"name": name, "tenant_id": tenant, "roles": roles, "password": PASSWORD});
        let operator = self.operator().await;
        self.manage("/api/v1/users", &wanted).await.expect(201);
        let token = self.login(&name, PASSWORD).await;
        let mut caller = operator.with(token["token"].as_str());
        caller.tenant = tenant.to_owned();
        caller
    }

    /// What `trailhouse rejected list` says of a tenant, oldest first.
    pub async fn rejected(&self, tenant: &str) -> Vec<Value> {
        let mut all = self.all_rejected().await;
        all.retain(|record| record["tenant"] == tenant);
        all
    }

    /// The same of all tenants, and of records that are nobody's.
    pub async fn all_rejected(&self) -> Vec<Value> {
        let ran = self.run(&["rejected", "list"]).await;
        assert!(ran.ok, "{}", ran.err);
        ran.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The answer of the embedded ClickHouse to a statement of its operator.
    pub async fn sql(&self, statement: &str) -> String {
        let password = std::fs::read_to_string(self.data_dir().join("clickhouse.password")).unwrap();
        let base = format!("http://{}", self.at().clickhouse);
        let key = [
            ("x-clickhouse-user", "default"),
            ("x-clickhouse-key", password.trim()),
        ];
        let answer = Caller::new(&base, "", None)
            .send(Method::POST, "/?database=trailhouse", &key, statement.to_owned())
            .await;
        assert_eq!(answer.status, 200, "{statement}: {}", answer.text());
        answer.text().trim_end().to_owned()
    }

    /// The full name of a topic.
    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// librdkafka's settings for this server's log.
    pub fn kafka_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.at().kafka)
            .set("log_level", "0");
        config
    }

    /// Writes a record as anybody with the broker's permission may; gives partition and offset.
    pub async fn produce(
        &self,
        topic: &str,
        key: &[u8],
        payload: &[u8],
        headers: &[(&str, &str)],
    ) -> (i32, i64) {
        let producer: FutureProducer = self.kafka_config().set("acks", "all").create().unwrap();
        let headers = headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
            all.insert(Header {
                key,
                value: Some(*value),
            })
        });
        let topic = self.topic(topic);
        let record = FutureRecord::to(&topic)
            .key(key)
            .payload(payload)
            .headers(headers);
        let written = producer
            .send(record, Duration::from_secs(20))
            .await
            .expect("the log takes it");
        (written.partition, written.offset)
    }
}

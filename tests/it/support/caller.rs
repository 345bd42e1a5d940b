//! Somebody who talks HTTP to a server, under one credential or none.

use bytes::Bytes;
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;

use super::wait::until_some;

/// A client with a credential. Belongs to the test that made it: connections live in its runtime.
#[derive(Clone)]
pub struct Caller {
    http: reqwest::Client,
    base: String,
    pub tenant: String,
    pub credential: Option<String>,
}

impl Caller {
    pub fn new(base: &str, tenant: &str, credential: Option<String>) -> Self {
        // Answers are compared byte for byte, and nobody's proxy belongs between.
        let http = reqwest::Client::builder().no_proxy().no_gzip().build().unwrap();
        Self::through(http, base, tenant, credential)
    }

    /// The same through a client with settings of its own.
    pub fn through(http: reqwest::Client, base: &str, tenant: &str, credential: Option<String>) -> Self {
        Self {
            http,
            base: base.to_owned(),
            tenant: tenant.to_owned(),
            credential,
        }
    }

    /// The same client under another credential.
    pub fn with(&self, credential: Option<&str>) -> Self {
        Self {
            credential: credential.map(str::to_owned),
            ..self.clone()
        }
    }

    /// A request with these headers; the credential is added.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        self.try_send(method, path, headers, body)
            .await
            .unwrap_or_else(|error| panic!("{path}: {error:?}"))
    }

    /// The same where the server may not be there.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Result<Answer> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .body(body);
        if let Some(credential) = &self.credential {
            request = request.header("authorization", format!("Bearer {credential}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok(Answer {
            status,
            headers,
            body: answer.bytes().await?,
        })
    }

    /// A request whose answer goes on: it is not read here.
    pub async fn open(&self, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let mut request = self.http.get(format!("{}{path}", self.base));
        if let Some(credential) = &self.credential {
            request = request.header("authorization", format!("Bearer {credential}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    /// Where it calls: `host:port`.
    pub fn address(&self) -> &str {
        self.base.split_once("://").unwrap().1
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    /// With parameters, which are encoded.
    pub async fn search(&self, parameters: &[(&str, &str)]) -> Answer {
        let mut url = reqwest::Url::parse("http://x/api/v1/logs").unwrap();
        url.query_pairs_mut().extend_pairs(parameters);
        let path = url.as_str().strip_prefix("http://x").unwrap().to_owned();
        self.get(&path).await
    }

    /// The events of a search that must succeed.
    pub async fn found(&self, parameters: &[(&str, &str)]) -> Vec<Value> {
        let mut page = self.search(parameters).await.expect(200);
        serde_json::from_value(page["data"].take()).unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(
            Method::POST,
            path,
            &[("content-type", "application/json")],
            body.to_string(),
        )
        .await
    }

    /// Posts an event that must be taken, waits until it can be searched, and gives its id.
    pub async fn take(&self, event: &Value) -> String {
        let answer = self.post("/api/v1/logs?wait=indexed", event).await;
        assert!(
            matches!(answer.status.as_u16(), 200 | 201),
            "{}: {}",
            answer.status,
            answer.text()
        );
        answer.json()["event_id"].as_str().unwrap().to_owned()
    }

    /// Waits until an event can be searched, by either of its ids.
    pub async fn arrives(&self, id: &str) -> Value {
        until_some(&format!("{id} is found"), async || {
            let answer = self.get(&format!("/api/v1/logs/{id}")).await;
            assert!(
                matches!(answer.status.as_u16(), 200 | 404),
                "{}: {}",
                answer.status,
                answer.text()
            );
            (answer.status == 200).then(|| answer.json())
        })
        .await
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body of an answer with this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert!(self.header("x-request-id").is_some(), "every answer has an id");
        self.json()
    }

    /// The problem of an answer with this status: what every refusal must look like.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        let problem = self.expect(status);
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{problem}"
        );
        assert_eq!(problem["status"], status, "{problem}");
        assert!(
            problem["type"]
                .as_str()
                .is_some_and(|kind| kind.starts_with("urn:trailhouse:problem:")),
            "{problem}"
        );
        for text in ["title", "detail"] {
            assert!(
                problem[text].as_str().is_some_and(|text| !text.is_empty()),
                "{problem}"
            );
        }
        problem
    }

    /// The fields that a problem names.
    #[track_caller]
    pub fn fields(&self, status: u16) -> Vec<String> {
        let problem = self.problem(status);
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        errors
            .iter()
            .map(|error| error["field"].as_str().unwrap().to_owned())
            .collect()
    }
}

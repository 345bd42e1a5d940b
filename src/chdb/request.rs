//! What a client asks: the parameters of ClickHouse's HTTP interface, gathered from the URL, the headers and, when
//! the body is a form, from its fields.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Query};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Method};

use super::encoding::Encoding;
use super::exception::Exception;

/// The longest statement, and the most that all fields of a form may hold.
pub(super) const STATEMENT_MAX: usize = 16 << 20;

/// A session asked for by `session_id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SessionAsked {
    pub id: String,
    pub timeout: Duration,
    pub must_exist: bool,
}

/// One request, but for its body.
#[derive(Debug)]
pub(super) struct Asked {
    /// `query` of the URL or the form; the body follows it.
    pub query: Option<String>,
    pub database: Option<String>,
    pub default_format: Option<String>,
    pub query_id: String,
    pub session: Option<SessionAsked>,
    /// Settings of the engine, as sent.
    pub settings: Vec<(String, String)>,
    /// Values for `{name:Type}`, as sent.
    pub parameters: Vec<(String, String)>,
    pub block_answer: bool,
    pub block_body: bool,
    pub wait_end: bool,
    pub read_only: bool,
    pub body_encoding: Option<Encoding>,
    pub answer_encoding: Option<Encoding>,
}

/// Parameters that only a real server's HTTP layer has a use for.
const IGNORED: [&str; 16] = [
    "user",
    "password",
    "quota_key",
    "buffer_size",
    "client_protocol_version",
    "stacktrace",
    "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
    "http_zlib_compression_level",
    "http_response_buffer_size",
    "http_write_exception_in_output_format",
    "cancel_http_readonly_queries_on_client_close",
    "add_http_cors_header",
    "http_native_compression_disable_checksumming_on_decompress",
    "http_make_head_request",
    "log_comment",
];

/// The parameters in the URL.
pub(super) fn url_parameters(parts: &Parts) -> Result<Vec<(String, String)>, Exception> {
    Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
        .map(|Query(pairs)| pairs)
        .map_err(|_| bad("the URL's parameters cannot be read"))
}

/// A header as text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

impl Asked {
    /// Reads the request's head.
    pub(super) fn new(parts: &Parts, pairs: Vec<(String, String)>) -> Result<Self, Exception> {
        let headers = &parts.headers;
        let mut asked = Self {
            query: None,
            database: header(headers, "x-clickhouse-database").map(str::to_owned),
            default_format: header(headers, "x-clickhouse-format").map(str::to_owned),
            query_id: String::new(),
            session: None,
            settings: Vec::new(),
            parameters: Vec::new(),
            block_answer: false,
            block_body: false,
            wait_end: false,
            read_only: parts.method != Method::POST,
            body_encoding: Encoding::of_request(headers)?,
            answer_encoding: Encoding::for_answer(headers),
        };
        let mut timeout = Duration::from_secs(60);
        let mut must_exist = false;
        for (name, value) in pairs {
            match name.as_str() {
                "session_id" if !value.is_empty() => asked.session = Some(session(value)),
                "session_timeout" => timeout = session_timeout(&value)?,
                "session_check" => must_exist = flag(&value),
                _ => asked.take(name, value)?,
            }
        }
        if let Some(session) = &mut asked.session {
            (session.timeout, session.must_exist) = (timeout, must_exist);
        }
        if asked.query_id.is_empty() {
            asked.query_id = uuid::Uuid::new_v4().to_string();
        }
        Ok(asked)
    }

    /// Takes one parameter.
    fn take(&mut self, name: String, value: String) -> Result<(), Exception> {
        match name.as_str() {
            "query" => self.query = Some(value),
            "database" => self.database = Some(value).filter(|name| !name.is_empty()),
            "default_format" => self.default_format = Some(value).filter(|name| !name.is_empty()),
            "query_id" => self.query_id = query_id(value)?,
            "compress" => self.block_answer = flag(&value),
            "decompress" => self.block_body = flag(&value),
            "wait_end_of_query" | "http_wait_end_of_query" => self.wait_end = flag(&value),
            "enable_http_compression" if !flag(&value) => self.answer_encoding = None,
            "enable_http_compression" => {}
            "session_id" | "session_timeout" | "session_check" => {}
            "role" => {
                return Err(Exception::new(
                    48,
                    "NOT_IMPLEMENTED",
                    "roles cannot be chosen in the embedded ClickHouse",
                ));
            }
            name if IGNORED.contains(&name) => {}
            _ => match name.strip_prefix("param_") {
                Some(parameter) => self.parameters.push((parameter.to_owned(), value)),
                None => self.settings.push((setting_name(&name)?, value)),
            },
        }
        Ok(())
    }

    /// When the body is a form, takes its fields and returns no body.
    pub(super) async fn take_form(&mut self, parts: Parts, body: Body) -> Result<Option<Body>, Exception> {
        let is_form = header(&parts.headers, CONTENT_TYPE.as_str()).is_some_and(|kind| {
            kind.trim_start()
                .to_ascii_lowercase()
                .starts_with("multipart/form-data")
        });
        if !is_form {
            return Ok(Some(body));
        }
        let request = http::Request::from_parts(parts, body);
        let mut form = Multipart::from_request(request, &())
            .await
            .map_err(|error| bad(&error.body_text()))?;
        let mut left = STATEMENT_MAX;
        while let Some(mut field) = form.next_field().await.map_err(|error| bad(&error.body_text()))? {
            if field.file_name().is_some() {
                let text = "external tables in a form are not supported by the embedded ClickHouse";
                return Err(Exception::new(48, "NOT_IMPLEMENTED", text));
            }
            let name = field.name().unwrap_or_default().to_owned();
            let mut value = Vec::new();
            while let Some(chunk) = field.chunk().await.map_err(|error| bad(&error.body_text()))? {
                left = left.checked_sub(chunk.len()).ok_or_else(too_large)?;
                value.extend_from_slice(&chunk);
            }
            let value = String::from_utf8(value)
                .map_err(|_| bad(&format!("the form's field {name} is not UTF-8")))?;
            self.take(name, value)?;
        }
        Ok(None)
    }
}

/// The refusal of a statement over [`STATEMENT_MAX`].
pub(super) fn too_large() -> Exception {
    Exception::new(
        229,
        "QUERY_IS_TOO_LARGE",
        format!("a statement may have {STATEMENT_MAX} bytes"),
    )
}

fn session(id: String) -> SessionAsked {
    SessionAsked {
        id,
        timeout: Duration::ZERO,
        must_exist: false,
    }
}

fn session_timeout(value: &str) -> Result<Duration, Exception> {
    match value.parse() {
        Ok(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err(Exception::new(
            374,
            "INVALID_SESSION_TIMEOUT",
            "session_timeout is 1 to 3600 seconds",
        )),
    }
}

fn query_id(value: String) -> Result<String, Exception> {
    match value.len() <= 256 && value.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(value),
        false => Err(bad("query_id is at most 256 visible ASCII characters")),
    }
}

/// Setting names go into a statement, so they must be names.
fn setting_name(name: &str) -> Result<String, Exception> {
    let fits = name.len() <= 200
        && name
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match fits {
        true => Ok(name.to_owned()),
        false => Err(Exception::new(
            115,
            "UNKNOWN_SETTING",
            format!("Unknown setting '{}'", name.escape_debug()),
        )),
    }
}

fn flag(value: &str) -> bool {
    !matches!(value, "" | "0" | "false" | "False")
}

fn bad(message: &str) -> Exception {
    Exception::new(36, "BAD_ARGUMENTS", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(uri: &str) -> Result<Asked, Exception> {
        let (parts, ()) = http::Request::builder()
            .method("POST")
            .uri(uri)
            .body(())
            .unwrap()
            .into_parts();
        let pairs = url_parameters(&parts)?;
        Asked::new(&parts, pairs)
    }

    #[test]
    fn parameters_go_where_they_belong() {
        let asked = asked(
            "/?query=SELECT+1&database=d&param_a=%27x%09&max_threads=2&compress=1&decompress=0&session_id=s&session_timeout=9&buffer_size=3&enable_http_compression=1",
        )
        .unwrap();
        assert_eq!(asked.query.as_deref(), Some("SELECT 1"));
        assert_eq!(asked.database.as_deref(), Some("d"));
        assert_eq!(asked.parameters, [("a".to_owned(), "'x\t".to_owned())]);
        assert_eq!(asked.settings, [("max_threads".to_owned(), "2".to_owned())]);
        assert!(asked.block_answer && !asked.block_body && !asked.read_only);
        let session = asked.session.unwrap();
        assert_eq!(
            (session.id.as_str(), session.timeout),
            ("s", Duration::from_secs(9))
        );
        assert_eq!(asked.query_id.len(), 36);
    }

    #[test]
    fn names_that_are_none_are_refused() {
        assert_eq!(asked("/?a%20%3D1,readonly=0").unwrap_err().code, 115);
        assert_eq!(asked("/?=1").unwrap_err().code, 115);
        assert_eq!(asked("/?role=admin").unwrap_err().code, 48);
        assert_eq!(
            asked("/?session_id=a&session_timeout=99999").unwrap_err().code,
            374
        );
        assert_eq!(asked("/?query_id=a%0Ab").unwrap_err().code, 36);
    }

    #[tokio::test]
    async fn a_form_carries_statement_and_parameters() {
        let builder = http::Request::builder().method("POST").uri("/");
        let request = builder
            .header(CONTENT_TYPE, "multipart/form-data; boundary=x")
            .body(())
            .unwrap();
        let (parts, ()) = request.into_parts();
        let mut asked = Asked::new(&parts, vec![]).unwrap();
        let form = "--x\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT {a:String}\r\n--x\r\nContent-Disposition: form-data; name=\"param_a\"\r\n\r\nb\\tc\r\n--x--\r\n";
        assert!(asked.take_form(parts, Body::from(form)).await.unwrap().is_none());
        assert_eq!(asked.query.as_deref(), Some("SELECT {a:String}"));
        assert_eq!(asked.parameters, [("a".to_owned(), "b\\tc".to_owned())]);
    }
}

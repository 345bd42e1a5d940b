//! `GET /api/v1/logs/export`

use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use serde_json::{Value, json};

use super::search::{with_saved, wrong};
use super::whose::existing;
use super::{Access::Needs, Budget, Route, get};
use crate::clock::Timestamp;
use crate::control::Permission;
use crate::event::TenantId;
use crate::query::QueryError;
use crate::query::export::{Asker, Chunk, Chunks, Compression, Export, Format, ask};
use crate::trail::read::Kind;
use crate::trail::{Occasion, Reading};
use crate::web::doc::{self, Doc, component_ref, query};
use crate::web::extract::{Caller, Params};
use crate::web::server::Place;
use crate::web::{ApiError, AppState};

/// For the first events: a failure until then is answered as one. An export that finds little and late is answered without
/// them, so that nobody between takes it for dead.
const BEGINS_WITHIN: Duration = Duration::from_secs(5);

pub(super) fn routes() -> Vec<Route> {
    let needs = Needs(Permission::Export, Budget::Exporting);
    vec![get("/api/v1/logs/export", needs, export).doc(said())]
}

fn said() -> Doc {
    let choice = |of: &[&str], default: &str| json!({"type": "string", "enum": of, "default": default});
    let doc = Doc::new("exportEvents", "Events", "Export events")
        .text("Everything that is found, oldest first, as a file that is made while it is read. A connection that ends without the end of the body is a file that broke off: so does one whose asker's credential is revoked meanwhile.")
        .params(doc::filters())
        .param(query("format", "A JSON array, an event a line, or a table.", choice(&["json", "ndjson", "csv", "parquet"], "ndjson")))
        .param(query("compression", "How the file is packed. Parquet is compressed inside, and takes none.", choice(&["none", "gzip", "zstd"], "none")))
        .param(doc::fields())
        .param(doc::saved());
    let as_file = |doc: Doc, media| doc.answers_as(200, "The file.", media, file_schema(media));
    file_types()
        .fold(doc, as_file)
        .header("Content-Disposition", "A name for the file.")
}

/// In which forms a file comes.
pub(super) fn file_types() -> impl Iterator<Item = &'static str> {
    let plain = [Format::Ndjson, Format::Json, Format::Csv, Format::Parquet];
    let plain = plain.into_iter().map(|format| (format, Compression::None));
    let packed = [Compression::Gzip, Compression::Zstd].map(|packed| (Format::Ndjson, packed));
    plain
        .chain(packed)
        .map(|(format, compression)| ask::media_type(format, compression))
}

/// What stands in a file of this form.
pub(super) fn file_schema(media: &str) -> Value {
    match media {
        "application/json" => json!({"type": "array", "items": component_ref("Event")}),
        _ => json!({"type": "string", "format": "binary"}),
    }
}

pub(super) async fn export(
    State(state): State<AppState>,
    Caller(principal): Caller,
    occasion: Occasion,
    Params(params): Params,
    place: Option<Extension<Place>>,
) -> Result<Response, ApiError> {
    let steering = ["sort", "limit", "cursor", "count"];
    let asked = with_saved(&state, &principal, &params, &steering)?;
    let export = Export::parse(&asked).map_err(wrong)?;
    let tenant = export.search.tenant_id.as_ref();
    existing(&state, &principal, tenant)?;
    let name = file_name(
        tenant.unwrap_or_else(|| principal.tenant()),
        &export,
        state.clock.now(),
    );
    let headers = [
        (header::CONTENT_TYPE, export.media_type().to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
        // The bytes are made anew each time; and what is packed already is not to be packed on the way.
        (header::CACHE_CONTROL, "no-store, no-transform".to_owned()),
    ];
    let tenant = tenant.cloned();
    // A body of which nothing is taken is not asked for more, so it could not say that it breaks off.
    let gives_up = place.map_or_else(Default::default, |Extension(place)| place.cut);
    let asker = Asker::new(&state.auth, &principal, gives_up);
    let answer = async { body(state.queries.export(asker, export)?).await };
    let read = Reading::of(Kind::Export, tenant.as_ref(), &asked);
    let body = state.recorded(&principal, &occasion, read, answer).await?;
    Ok((headers, body).into_response())
}

/// What a file of events is called: `trailhouse-default-20261121T093000Z.ndjson.gz`.
pub(super) fn file_name(tenant: &TenantId, export: &Export, at: Timestamp) -> String {
    let at: String = at
        .to_string()
        .chars()
        .filter(|c| !matches!(c, '-' | ':'))
        .collect();
    let at = at.split(['.', 'Z']).next().unwrap_or_default();
    format!("trailhouse-{tenant}-{at}Z.{}", export.extension())
}

/// The file as a body. A failure breaks it off: the connection ends without the end of the body.
async fn body(mut chunks: Chunks) -> Result<Body, ApiError> {
    let first = match tokio::time::timeout(BEGINS_WITHIN, chunks.recv()).await {
        Ok(first) => Some(whole(first)?),
        Err(_) => None,
    };
    let pieces = unfold(
        (first, chunks, false),
        |(first, mut chunks, is_over)| async move {
            if is_over {
                return None;
            }
            let next = match first {
                Some(first) => Ok(first),
                None => whole(chunks.recv().await),
            };
            let is_over = next.as_ref().map_or(true, |chunk| chunk.is_last);
            let next: Result<Bytes, QueryError> = next.map(|chunk| chunk.bytes);
            Some((next, (None, chunks, is_over)))
        },
    );
    Ok(Body::from_stream(pieces))
}

/// Chunks that end without the last one are a failure as well.
fn whole(chunk: Option<Result<Chunk, QueryError>>) -> Result<Chunk, QueryError> {
    chunk.unwrap_or_else(|| Err(QueryError::Failed("an export ended before its end".to_owned())))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;

    use super::*;

    fn chunk(bytes: &'static str, is_last: bool) -> Result<Chunk, QueryError> {
        Ok(Chunk {
            bytes: bytes.into(),
            is_last,
            ..Chunk::default()
        })
    }

    async fn sent(chunks: Vec<Result<Chunk, QueryError>>) -> Result<Result<String, axum::Error>, ApiError> {
        let (sender, receiver) = mpsc::channel(8);
        for chunk in chunks {
            sender.send(chunk).await.unwrap();
        }
        drop(sender);
        let whole = body(receiver).await?.collect().await;
        Ok(whole.map(|whole| String::from_utf8(whole.to_bytes().to_vec()).unwrap()))
    }

    #[tokio::test]
    async fn only_a_file_that_came_to_its_end_ends_well() {
        assert_eq!(
            sent(vec![chunk("a", false), chunk("b", true)])
                .await
                .unwrap()
                .unwrap(),
            "ab"
        );
        assert!(
            sent(vec![chunk("a", false)]).await.unwrap().is_err(),
            "ended too early"
        );
        let failed = || Err(QueryError::Unavailable);
        assert!(
            sent(vec![chunk("a", false), failed(), chunk("b", true)])
                .await
                .unwrap()
                .is_err()
        );
        assert!(
            sent(vec![failed()]).await.is_err(),
            "nothing was sent yet: a problem of its own"
        );
    }

    #[test]
    fn a_file_has_the_name_of_its_tenant_and_moment() {
        let export = Export::parse(&[("compression".to_owned(), "gzip".to_owned())]).unwrap();
        let (at, _) = Timestamp::parse_rfc3339("2026-11-21T09:30:00.5Z").unwrap();
        let name = file_name(&TenantId::default_tenant(), &export, at);
        assert_eq!(name, "trailhouse-default-20261121T093000Z.ndjson.gz");
    }
}

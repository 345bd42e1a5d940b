//! What is said of the routes of exports.

use serde_json::json;

use super::super::export::{file_schema, file_types};
use crate::web::doc::{self, Doc};

pub(super) fn list() -> Doc {
    said("listExports", "List exports")
        .text("The newest first.")
        .lists("ExportPage")
}

pub(super) fn one() -> Doc {
    said("getExport", "Get an export")
        .param(doc::id())
        .param(doc::if_none_match())
        .answers(200, "How far it is.", "Export")
        .header(
            "ETag",
            "Its version, once it is finished: until then its progress changes without one.",
        )
        .answers_nothing(304, "It is finished, and as the caller has it.")
        .header("ETag", "Its version.")
}

pub(super) fn cancel() -> Doc {
    said("deleteExport", "Cancel an export")
        .text("One that is done is removed with its file. One's own; an admin removes any.")
        .removes()
}

fn said(id: &'static str, summary: &'static str) -> Doc {
    Doc::new(id, "Exports", summary)
}

pub(super) fn create() -> Doc {
    said("createExport", "Begin an export")
        .text("Everything that is found, written to a file in the background; the file is kept for a while.")
        .param(doc::idempotency_key())
        .takes("ExportToMake")
        .answers(202, "It is begun.", "Export")
        .header("Location", "Where to ask how far it is.")
        .problem(404, "There is no such tenant.")
        .problem(
            409,
            "There are too many, or the `Idempotency-Key` belongs to another request.",
        )
}

pub(super) fn file() -> Doc {
    let whole = |doc: Doc, media| doc.answers_as(200, "The file.", media, file_schema(media));
    // Of JSON, a part is none.
    let part = |doc: Doc, media| {
        let schema = json!({"type": "string", "format": "binary"});
        doc.answers_as(206, "A part of the file.", media, schema)
    };
    let range = json!({"type": "string", "example": "bytes=0-1023"});
    let doc = said("getExportFile", "Get the file of an export")
        .text("Whole, or in ranges. Each request counts as a search.")
        .param(doc::id())
        .param(doc::header("Range", "Only this part of it (RFC 9110).", range))
        .param(doc::if_none_match());
    let doc = file_types()
        .fold(doc, whole)
        .header("Content-Disposition", "A name for the file.")
        .header("ETag", "The digest of the file.");
    file_types()
        .fold(doc, part)
        .header("Content-Range", "Which part.")
        .answers_nothing(304, "The caller has it.")
        .problem(
            409,
            "It is not finished, it failed, or the file lies on another instance.",
        )
        .problem(
            410,
            "The file is gone, or events were cleaned up or redacted since that may be in it.",
        )
        .problem(416, "The file has no such range.")
}

//! JSON text inside an event.

/// A JSON value as compact text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(Box<str>);

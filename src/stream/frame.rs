//! What goes to a client: JSON objects, each with the place at which to go on behind it.

use std::sync::Arc;

use serde_json::Value;

use super::passed::Passed;

/// One message of a stream.
#[derive(Clone, Debug)]
pub enum Frame {
    /// An event.
    Event(Arc<Passed>),
    /// Nothing has come for a while.
    Heartbeat,
    /// The client was too slow: so many events had no room, and follow now.
    Lagged(u64),
    /// The stream ends, for this problem.
    Error(Value),
}

impl Frame {
    /// Appends it as JSON.
    pub fn write(&self, cursor: &str, out: &mut String) {
        let kind = match self {
            Self::Event(_) => "event",
            Self::Heartbeat => "heartbeat",
            Self::Lagged(_) => "lagged",
            Self::Error(_) => "error",
        };
        // A cursor is base64url: nothing in it needs an escape.
        for part in [r#"{"type":""#, kind, r#"","cursor":""#, cursor, "\""] {
            out.push_str(part);
        }
        match self {
            Self::Event(passed) => {
                out.push_str(r#","event":"#);
                out.push_str(passed.json());
            }
            Self::Heartbeat => {}
            Self::Lagged(events) => out.push_str(&format!(r#","waiting":{events}"#)),
            Self::Error(problem) => out.push_str(&format!(r#","problem":{problem}"#)),
        }
        out.push('}');
    }

    /// Appends it as a server-sent event, whose id is the cursor. JSON as we write it has no line breaks.
    pub fn write_sse(&self, cursor: &str, out: &mut String) {
        out.push_str("id: ");
        out.push_str(cursor);
        out.push_str("\ndata: ");
        self.write(cursor, out);
        out.push_str("\n\n");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::Event;
    use crate::event::revision::Rank;

    #[test]
    fn frames_are_json_on_one_line() {
        let mut event = Event::sample(7);
        event.message = Some("a\nb \"c\"".to_owned());
        let passed = Arc::new(Passed::new((0, 0), event, Rank::default(), 1));
        for (frame, kind) in [
            (Frame::Event(passed), "event"),
            (Frame::Heartbeat, "heartbeat"),
            (Frame::Lagged(5), "lagged"),
            (Frame::Error(json!({"status": 401})), "error"),
        ] {
            let (mut text, mut sse) = (String::new(), String::new());
            frame.write("c-1_", &mut text);
            frame.write_sse("c-1_", &mut sse);
            let parsed: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(
                (&parsed["type"], &parsed["cursor"]),
                (&json!(kind), &json!("c-1_"))
            );
            assert_eq!(sse, format!("id: c-1_\ndata: {text}\n\n"));
        }
    }
}

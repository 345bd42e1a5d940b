//! One statement on one lane: prepare the connection, run, and leave nothing behind.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::engine::Lane;
use super::exception::Exception;
use super::library::{Answer, Connection};
use super::reader::{self, Fenced};
use super::sessions::SessionGuard;
use super::spool::Spool;
use super::{names_database, quoted};

/// A statement ready to run, with everything it needs.
pub(super) struct Statement {
    /// The text; for the read-only user what goes into the wrapping.
    pub text: Vec<u8>,
    /// Format of rows that are not sent through `output`.
    pub format: String,
    pub parameters: Vec<(String, String)>,
    pub settings: Vec<(String, String)>,
    pub database: Option<String>,
    pub query_id: String,
    /// It reads or inserts rows, and can't change the session it runs in.
    pub only_data: bool,
    /// `readonly = 2`: a GET changes nothing.
    pub read_only: bool,
    pub session: Option<SessionGuard>,
    pub reader: Option<Fenced>,
    /// The writing end of the pipe that the statement names. Held until the engine is done, so that the reading
    /// end sees the end of the rows exactly then, even when the engine never opened it.
    pub output: Option<OwnedFd>,
    /// The file that the statement names.
    pub input: Option<Spool>,
    pub cancelled: Arc<AtomicBool>,
}

/// Runs a statement to its end.
pub(super) fn run(lane: &mut Lane, mut statement: Statement) -> Result<Answer, Exception> {
    if statement.cancelled.load(Ordering::Acquire) {
        return Err(Exception::new(
            394,
            "QUERY_WAS_CANCELLED",
            "the client left before its turn",
        ));
    }
    let answer = match statement.session.take() {
        None => run_alone(lane, &statement),
        Some(mut session) => {
            let connection = session.connection(lane)?;
            let before = Before::note(connection, &statement)?;
            let answer = run_on(connection, &statement);
            // A session that can't be put back as it was is not given out again.
            if before.restore(connection).is_err() {
                session.reset();
            }
            answer
        }
    };
    // The reading end sees the end of the rows now.
    drop((statement.output.take(), statement.input.take()));
    answer
}

/// Runs on a connection that no client left a trace on, and leaves none: it is given back only when it is as it was.
fn run_alone(lane: &mut Lane, statement: &Statement) -> Result<Answer, Exception> {
    let mut connection = lane.fresh()?;
    let answer = run_on(&mut connection, statement)?;
    let unchanged = statement.only_data
        && !statement.read_only
        && statement.reader.is_none()
        && statement.settings.is_empty();
    let at_home = statement.database.is_none();
    if unchanged && (at_home || connection.tell("USE default").is_ok()) {
        lane.give_back(connection);
    }
    Ok(answer)
}

fn run_on(connection: &mut Connection, statement: &Statement) -> Result<Answer, Exception> {
    let mut assignments = format!("SET log_comment = {}", quoted(&statement.query_id));
    for (name, value) in &statement.settings {
        assignments += &format!(", {name} = {}", quoted(value));
    }
    if statement.read_only {
        assignments += ", readonly = 2";
    }
    connection.tell(&assignments)?;
    if let Some(database) = &statement.database {
        connection.tell(&format!("USE {}", names_database(database)))?;
    }
    let fenced = match &statement.reader {
        None => None,
        Some(fenced) => {
            let (settings, parameters) = (&statement.settings, &statement.parameters);
            Some(reader::fence(
                connection,
                &statement.text,
                settings,
                parameters,
                fenced,
            )?)
        }
    };
    let text = fenced.as_deref().unwrap_or(&statement.text);
    connection.run(text, &statement.format, &statement.parameters)
}

/// What a request changes in a session for itself alone: its settings and its database.
struct Before {
    settings: Vec<(String, String)>,
    database: Option<String>,
}

impl Before {
    fn note(connection: &mut Connection, statement: &Statement) -> Result<Self, Exception> {
        let database = match statement.database {
            None => None,
            Some(_) => Some(connection.ask("SELECT currentDatabase()", &[])?),
        };
        let names: Vec<String> = statement.settings.iter().map(|(name, _)| quoted(name)).collect();
        if names.is_empty() {
            return Ok(Self {
                settings: Vec::new(),
                database,
            });
        }
        let query = format!(
            "SELECT name, value FROM system.settings WHERE name IN ({})",
            names.join(", ")
        );
        let rows = connection.run(query.as_bytes(), "JSONCompactEachRow", &[])?;
        let settings = serde_json::Deserializer::from_slice(&rows.bytes)
            .into_iter::<(String, String)>()
            .collect::<Result<_, _>>()
            .map_err(|error| {
                Exception::new(1001, "STD_EXCEPTION", format!("settings cannot be read: {error}"))
            })?;
        Ok(Self { settings, database })
    }

    fn restore(self, connection: &mut Connection) -> Result<(), Exception> {
        if !self.settings.is_empty() {
            let settings: Vec<String> = self
                .settings
                .iter()
                .map(|(name, value)| format!("{name} = {}", quoted(value)))
                .collect();
            connection.tell(&format!("SET {}", settings.join(", ")))?;
        }
        match self.database {
            Some(database) => connection.tell(&format!("USE {}", names_database(&database))),
            None => Ok(()),
        }
    }
}

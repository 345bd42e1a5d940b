//! From a statement taken apart to one that can run: our clauses put in, and the pipe or file that they name opened.

use std::os::fd::{AsRawFd, OwnedFd};

use tokio::net::unix::pipe;

use super::accounts::User;
use super::body::Received;
use super::engine::Route;
use super::exception::Exception;
use super::framing::Frame;
use super::reader::denied;
use super::request::Asked;
use super::spool::{Spool, descriptor_path};

/// A pipe's size: what the engine can write ahead of the client.
#[cfg(target_os = "linux")]
const PIPE: i32 = 1 << 20;

/// A statement's text with our own clauses in it, and what they name.
pub(super) struct Plan {
    pub text: Vec<u8>,
    pub format: String,
    pub route: Route,
    /// For the read-only user: `text` is to be wrapped, and this follows.
    pub fenced_tail: Option<String>,
    pub pipe: Option<(pipe::Receiver, OwnedFd)>,
    pub input: Option<Spool>,
}

impl Plan {
    /// Plans a statement for a user.
    pub(super) fn new(asked: &mut Asked, received: Received, user: User) -> Result<Self, Exception> {
        let default = asked
            .default_format
            .take()
            .unwrap_or_else(|| "TabSeparated".to_owned());
        let plain = |text, format, route| Self {
            text,
            format,
            route,
            fenced_tail: None,
            pipe: None,
            input: None,
        };
        if asked.read_only && asked.session.is_some() && !matches!(received.frame, Frame::Rows { .. }) {
            return Err(Exception::new(
                164,
                "READONLY",
                "Cannot execute query in readonly mode: send it by POST",
            ));
        }
        match received.frame {
            Frame::Rows {
                query,
                format,
                settings,
            } => {
                let format = checked_format(format.unwrap_or(default))?;
                let (pipe, path) = open_pipe()?;
                let tail = format!("INTO OUTFILE '{path}' APPEND COMPRESSION 'none' FORMAT {format}");
                if user == User::Reader {
                    if !settings.is_empty() {
                        return Err(denied("settings in the query"));
                    }
                    let plan = plain(query, format, Route::Work);
                    return Ok(Self {
                        fenced_tail: Some(tail),
                        pipe: Some(pipe),
                        ..plan
                    });
                }
                let text = [&query, b"\n" as &[u8], tail.as_bytes(), &settings].concat();
                Ok(Self {
                    pipe: Some(pipe),
                    ..plain(text, format, Route::Work)
                })
            }
            _ if user == User::Reader => Err(denied("it is not a SELECT")),
            Frame::Insert {
                head,
                settings,
                format,
                ..
            } => {
                let format = checked_format(format)?;
                let input = received
                    .data
                    .ok_or_else(|| Exception::new(108, "NO_DATA_TO_INSERT", "No data to insert"))?;
                let infile = format!("\nFROM INFILE '{}' COMPRESSION 'none' ", input.path());
                let tail = format!(" FORMAT {format}");
                let text = [&head, infile.as_bytes(), &settings, tail.as_bytes()].concat();
                Ok(Self {
                    input: Some(input),
                    ..plain(text, default, Route::Work)
                })
            }
            Frame::Kill { statement } => Ok(plain(statement, default, Route::Kills)),
            Frame::Plain { statement, format } => {
                Ok(plain(statement, format.unwrap_or(default), Route::Work))
            }
        }
    }
}

/// Format names go into the statement, so they must be names.
fn checked_format(format: String) -> Result<String, Exception> {
    match !format.is_empty() && format.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        true => Ok(format),
        false => Err(Exception::new(
            73,
            "UNKNOWN_FORMAT",
            format!("Unknown format {}", format.escape_debug()),
        )),
    }
}

/// A pipe, and the path of its writing end for the engine.
fn open_pipe() -> Result<((pipe::Receiver, OwnedFd), String), Exception> {
    let failed = |error| {
        Exception::new(
            75,
            "CANNOT_WRITE_TO_FILE_DESCRIPTOR",
            format!("no pipe for the answer: {error}"),
        )
    };
    let (sender, receiver) = pipe::pipe().map_err(failed)?;
    let writing = sender.into_blocking_fd().map_err(failed)?;
    #[cfg(target_os = "linux")]
    let _ = nix::fcntl::fcntl(&writing, nix::fcntl::FcntlArg::F_SETPIPE_SZ(PIPE));
    let path = descriptor_path(writing.as_raw_fd());
    Ok(((receiver, writing), path))
}

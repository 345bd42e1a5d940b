//! One file: written under another name, and given its own when it is whole and on the disk.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::progress::Progress;
use crate::query::QueryError;
use crate::query::export::Chunks;

/// The end of the name of a file that is not whole.
pub(super) const PART: &str = "part";

/// A file that is whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) events: u64,
    pub(super) bytes: u64,
    /// In hexadecimal.
    pub(super) sha256: String,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum JobError {
    /// The events could not be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The file could not be written.
    #[error("the file can't be written: {0}")]
    File(#[from] io::Error),
    /// There is no room.
    #[error("{0}")]
    DiskFull(String),
}

/// Writes all chunks to `path`, and counts them. `room` says when there is none any more.
pub(super) async fn write(
    mut chunks: Chunks,
    path: PathBuf,
    progress: &Progress,
    room: impl Fn() -> Option<String> + Send + 'static,
) -> Result<Written, JobError> {
    let part = path.with_extension(PART);
    let mut file = blocking({
        let part = part.clone();
        move || {
            Ok(Hashed {
                file: File::create(part)?,
                digest: Sha256::new(),
                room,
            })
        }
    })
    .await?;
    loop {
        let chunk = chunks
            .recv()
            .await
            .unwrap_or_else(|| Err(QueryError::Failed("an export ended before its end".to_owned())))?;
        let (events, bytes, is_last) = (chunk.events, chunk.bytes.len(), chunk.is_last);
        file = blocking(move || {
            if let Some(problem) = (file.room)() {
                return Err(JobError::DiskFull(problem));
            }
            file.digest.update(&chunk.bytes);
            file.file.write_all(&chunk.bytes)?;
            Ok(file)
        })
        .await?;
        progress.add(events, bytes);
        if is_last {
            break;
        }
    }
    let digest = blocking(move || {
        file.file.sync_all()?;
        fs::rename(&part, &path)?;
        // The name is on the disk when its directory is.
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(file.digest.finalize())
    })
    .await?;
    Ok(Written {
        events: progress.events(),
        bytes: progress.bytes(),
        sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

struct Hashed<R> {
    file: File,
    digest: Sha256,
    room: R,
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JobError> + Send + 'static,
) -> Result<T, JobError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::query::export::Chunk;

    async fn written(
        chunks: Vec<Result<Chunk, QueryError>>,
        room: impl Fn() -> Option<String> + Send + 'static,
    ) -> (Result<Written, JobError>, Vec<String>, Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        let (sender, receiver) = mpsc::channel(8);
        for chunk in chunks {
            sender.send(chunk).await.unwrap();
        }
        drop(sender);
        let path = directory.path().join("id");
        let result = write(receiver, path.clone(), &Progress::default(), room).await;
        let names = fs::read_dir(directory.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        (result, names.collect(), fs::read(path).unwrap_or_default())
    }

    fn chunk(bytes: &'static str, is_last: bool) -> Result<Chunk, QueryError> {
        Ok(Chunk {
            bytes: bytes.into(),
            events: 2,
            reached: None,
            is_last,
        })
    }

    #[tokio::test]
    async fn a_whole_file_has_its_name_and_digest() {
        let (result, names, bytes) = written(vec![chunk("ab", false), chunk("c", true)], || None).await;
        let expected = Written {
            events: 4,
            bytes: 3,
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned(),
        };
        assert_eq!(
            (result.unwrap(), names, bytes),
            (expected, vec!["id".to_owned()], b"abc".to_vec())
        );
    }

    #[tokio::test]
    async fn what_is_not_whole_never_has_the_name_of_the_file() {
        for chunks in [
            vec![chunk("ab", false)],
            vec![chunk("ab", false), Err(QueryError::Unavailable), chunk("c", true)],
        ] {
            let (result, names, _) = written(chunks, || None).await;
            assert!(result.is_err());
            assert_eq!(names, ["id.part"]);
        }
        let (result, ..) = written(vec![chunk("ab", true)], || Some("full".to_owned())).await;
        assert!(matches!(result, Err(JobError::DiskFull(_))));
    }
}

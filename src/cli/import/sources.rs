//! What is to be imported: files, in an order that does not change, opened as they are.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const BUFFER: usize = 256 * 1024;

/// One file, or standard input.
pub(super) struct Source {
    /// As it is called in messages.
    pub(super) name: String,
    /// Where it is; `None`: standard input.
    path: Option<PathBuf>,
    /// How large it is on disk, where that is known.
    pub(super) bytes: Option<u64>,
}

/// All files that `arguments` name, folders followed to their ends and sorted. Hidden files inside folders are left
/// alone; a name that is not there is an error before anything is sent.
pub(super) fn find(arguments: &[String]) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for argument in arguments {
        if argument == "-" {
            sources.push(Source {
                name: "standard input".into(),
                path: None,
                bytes: None,
            });
        } else {
            walk(Path::new(argument), &mut sources).with_context(|| format!("{argument} can't be read"))?;
        }
    }
    Ok(sources)
}

fn walk(path: &Path, sources: &mut Vec<Source>) -> io::Result<()> {
    let about = fs::metadata(path)?;
    if !about.is_dir() {
        let (name, bytes) = (path.display().to_string(), about.is_file().then_some(about.len()));
        sources.push(Source {
            name,
            path: Some(path.to_owned()),
            bytes,
        });
        return Ok(());
    }
    let mut inside = fs::read_dir(path)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    inside.sort();
    for path in inside {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        // Links that lead nowhere, or round in a circle, end the walk by themselves: the system gives them up.
        if !hidden {
            walk(&path, sources)?;
        }
    }
    Ok(())
}

impl Source {
    /// Opens it; gzip is taken off when it is there, whatever the name says.
    pub(super) fn open(&self, progress: &ProgressBar) -> io::Result<Box<dyn BufRead>> {
        let raw: Box<dyn Read> = match &self.path {
            Some(path) => Box::new(File::open(path)?),
            None => Box::new(io::stdin()),
        };
        let mut reader = BufReader::with_capacity(
            BUFFER,
            Counted {
                raw,
                progress: progress.clone(),
            },
        );
        if reader.fill_buf()?.starts_with(&GZIP) {
            Ok(Box::new(BufReader::with_capacity(
                BUFFER,
                MultiGzDecoder::new(reader),
            )))
        } else {
            Ok(Box::new(reader))
        }
    }
}

/// Moves the progress bar by what is read from the disk.
struct Counted {
    raw: Box<dyn Read>,
    progress: ProgressBar,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.raw.read(buffer)?;
        self.progress.inc(read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn folders_are_followed_in_order_and_hidden_files_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("b")).unwrap();
        for name in ["c", "b/2", "b/1", "a", ".hidden"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let sources = find(&[dir.path().display().to_string(), "-".into()]).unwrap();
        let names: Vec<_> = sources
            .iter()
            .map(|source| source.name.trim_start_matches(dir.path().to_str().unwrap()))
            .collect();
        assert_eq!(names, ["/a", "/b/1", "/b/2", "/c", "standard input"]);
        let missing = find(&[dir.path().join("no").display().to_string()]);
        assert!(missing.err().unwrap().to_string().ends_with("/no can't be read"));
    }

    #[test]
    fn gzip_is_known_by_its_first_bytes_also_in_several_members() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("no-ending");
        let mut file = File::create(&path).unwrap();
        for part in ["one\n", "two\n"] {
            let mut member = flate2::write::GzEncoder::new(&mut file, flate2::Compression::fast());
            member.write_all(part.as_bytes()).unwrap();
            member.finish().unwrap();
        }
        let bar = ProgressBar::hidden();
        let source = find(&[path.display().to_string()]).unwrap().remove(0);
        let mut text = String::new();
        source.open(&bar).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(
            (text.as_str(), Some(bar.position())),
            ("one\ntwo\n", source.bytes)
        );
    }
}

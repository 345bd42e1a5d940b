//! What is to be imported: files, in an order that does not change, opened as they are.

use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
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
    place: Place,
    /// How large it is on disk, where that is known.
    pub(super) bytes: Option<u64>,
}

enum Place {
    StandardInput,
    File(PathBuf),
    /// Nothing that can be read, and why.
    Nowhere(String),
}

/// All files that `arguments` name, folders followed to their ends and sorted. Hidden files inside folders are left
/// alone. A name that is not there is an error before anything is sent; what can't be read inside a folder comes out
/// when its turn has come.
pub(super) fn find(arguments: &[String]) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for argument in arguments {
        if argument == "-" {
            sources.push(Source {
                name: "standard input".into(),
                place: Place::StandardInput,
                bytes: None,
            });
        } else {
            let path = Path::new(argument);
            let about = fs::metadata(path).with_context(|| format!("{argument} can't be read"))?;
            walk(path, about, &mut Vec::new(), &mut sources);
        }
    }
    Ok(sources)
}

/// Device and number of a folder, by which a link back to it is known.
type Folder = (u64, u64);

/// Adds a file, or what is in a folder. `above` are the folders that it lies in.
fn walk(path: &Path, about: Metadata, above: &mut Vec<Folder>, sources: &mut Vec<Source>) {
    if about.is_file() {
        sources.push(Source {
            name: path.display().to_string(),
            place: Place::File(path.to_owned()),
            bytes: Some(about.len()),
        });
    } else if !about.is_dir() {
        sources.push(Source::nowhere(
            path,
            "it is no regular file; what comes through a pipe can be given as `-`",
        ));
    } else if above.contains(&(about.dev(), about.ino())) {
        sources.push(Source::nowhere(path, "it leads back to a folder that it lies in"));
    } else {
        above.push((about.dev(), about.ino()));
        match inside(path) {
            Ok(entries) => entries.iter().for_each(|path| match fs::metadata(path) {
                Ok(about) => walk(path, about, above, sources),
                Err(error) => sources.push(Source::nowhere(path, &error.to_string())),
            }),
            Err(error) => sources.push(Source::nowhere(path, &error.to_string())),
        }
        above.pop();
    }
}

/// What a folder holds and does not hide, sorted.
fn inside(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut inside = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    inside.retain(|path| {
        path.file_name()
            .is_none_or(|name| !name.as_encoded_bytes().starts_with(b"."))
    });
    inside.sort();
    Ok(inside)
}

impl Source {
    fn nowhere(path: &Path, why: &str) -> Self {
        Self {
            name: path.display().to_string(),
            place: Place::Nowhere(why.to_owned()),
            bytes: None,
        }
    }

    /// Opens it; gzip is taken off when it is there, whatever the name says.
    pub(super) fn open(&self, progress: &ProgressBar) -> io::Result<Box<dyn BufRead>> {
        let raw: Box<dyn Read> = match &self.place {
            Place::File(path) => Box::new(File::open(path)?),
            Place::StandardInput => Box::new(io::stdin()),
            Place::Nowhere(why) => return Err(io::Error::other(why.clone())),
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
    fn what_can_not_be_read_in_a_folder_is_named_and_the_rest_goes_on() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("b")).unwrap();
        fs::write(at("b/file"), "x").unwrap();
        symlink(at("nowhere"), at("a-dangling")).unwrap();
        symlink(at("a-loop"), at("a-loop")).unwrap();
        symlink(dir.path(), at("b/back")).unwrap();
        symlink(at("b/file"), at("c-link")).unwrap();
        nix::unistd::mkfifo(&at("d-pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let found: Vec<_> = find(&[dir.path().display().to_string()])
            .unwrap()
            .into_iter()
            .map(|source| {
                let why = match source.open(&ProgressBar::hidden()) {
                    Ok(_) => String::new(),
                    Err(error) => error.to_string(),
                };
                (source.name.replace(dir.path().to_str().unwrap(), ""), why)
            })
            .collect();
        let expected = [
            ("/a-dangling", "No such file"),
            ("/a-loop", "symbolic links"),
            ("/b/back", "leads back to a folder"),
            ("/b/file", ""),
            ("/c-link", ""),
            ("/d-pipe", "no regular file"),
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((name, why), (expected, because)) in found.iter().zip(expected) {
            assert_eq!(name, expected);
            assert!(
                why.contains(because) && why.is_empty() == because.is_empty(),
                "{name}: {why}"
            );
        }
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

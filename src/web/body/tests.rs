//! Bodies as they are sent, packed and not.

use std::io::Write as _;

use axum::http::HeaderValue;
use futures_util::{Stream, StreamExt, stream};

use super::*;
use crate::limit::room::Room;

const BOUNDS: Bounds = Bounds {
    max: 1_000,
    pause: Duration::from_secs(5),
    within: Duration::from_secs(5),
};

fn room() -> Room {
    Room::new(1 << 20, Duration::ZERO)
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 1).unwrap()
}

/// In pieces of so many bytes.
fn pieces(bytes: &[u8], size: usize) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    let pieces: Vec<_> = bytes
        .chunks(size)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    stream::iter(pieces)
}

/// Bytes, and then nothing for ever.
fn stalled(bytes: &[u8]) -> body::Body {
    body::Body::from_stream(pieces(bytes, bytes.len()).chain(stream::pending()))
}

/// What is read, the same in pieces of any size; or the status of the refusal, and its kind.
async fn reads(coding: Coding, bytes: &[u8]) -> Result<Bytes, (u16, &'static str)> {
    let mut read_so_far = None;
    for size in [1, 7, 1 << 20] {
        let body = body::Body::from_stream(pieces(bytes, size));
        let found = read(body, coding, BOUNDS, &mut room().of("a")).await;
        let found = found.map_err(|refused| (refused.status.as_u16(), refused.kind));
        assert_eq!(
            *read_so_far.get_or_insert(found.clone()),
            found,
            "in pieces of {size}"
        );
    }
    read_so_far.unwrap()
}

const UNREADABLE: (u16, &str) = (400, "unreadable_body");
const TOO_LARGE: (u16, &str) = (413, "body_too_large");

#[tokio::test]
async fn members_behind_one_another_are_one_body() {
    for (coding, pack) in [(Coding::Gzip, gzip as fn(&[u8]) -> Vec<u8>), (Coding::Zstd, zstd)] {
        let whole = [pack(b"one\n"), pack(b""), pack(b"two\n")].concat();
        assert_eq!(reads(coding, &whole).await.unwrap(), "one\ntwo\n", "{coding:?}");
    }
}

#[tokio::test]
async fn what_is_not_of_its_coding_is_refused_wherever_it_stands() {
    for (coding, pack) in [(Coding::Gzip, gzip as fn(&[u8]) -> Vec<u8>), (Coding::Zstd, zstd)] {
        let member = pack(b"one\n");
        for behind in [&b"garbage"[..], b"\x1f", &[0; 3], &member[..member.len() - 1]] {
            let whole = [&member, behind].concat();
            assert_eq!(
                reads(coding, &whole).await,
                Err(UNREADABLE),
                "{coding:?}: {behind:?}"
            );
        }
        for cut in [0, 1, member.len() - 1] {
            assert_eq!(
                reads(coding, &member[..cut]).await,
                Err(UNREADABLE),
                "{coding:?}: {cut}"
            );
        }
    }
}

#[tokio::test]
async fn the_limit_holds_for_what_is_sent_and_for_what_is_unpacked() {
    let fits = vec![b' '; BOUNDS.max];
    let large = vec![b' '; BOUNDS.max + 1];
    for (coding, pack) in [(Coding::Gzip, gzip as fn(&[u8]) -> Vec<u8>), (Coding::Zstd, zstd)] {
        assert_eq!(reads(coding, &pack(&fits)).await.unwrap().len(), BOUNDS.max);
        assert_eq!(reads(coding, &pack(&large)).await, Err(TOO_LARGE));
        let empty = pack(b"").repeat(BOUNDS.max);
        assert_eq!(
            reads(coding, &empty).await,
            Err(TOO_LARGE),
            "{coding:?} of nothing"
        );
    }
    assert_eq!(reads(Coding::Plain, &fits).await.unwrap(), fits);
    assert_eq!(reads(Coding::Plain, &large).await, Err(TOO_LARGE));
}

#[tokio::test]
async fn a_body_that_stalls_or_drips_for_ever_is_given_up() {
    let slow = async |body, coding, bounds| {
        let refused = read(body, coding, bounds, &mut room().of("a")).await.unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.kind), (408, "body_too_slow"));
    };
    let pauses = Bounds {
        pause: Duration::from_millis(20),
        ..BOUNDS
    };
    for (coding, begun) in [
        (Coding::Plain, b"{".to_vec()),
        (Coding::Gzip, gzip(b"{}")[..15].to_vec()),
        (Coding::Gzip, gzip(b"{}")),
        (Coding::Zstd, zstd(b"{}")[..6].to_vec()),
    ] {
        slow(stalled(&begun), coding, pauses).await;
    }
    let drops = stream::unfold((), async |()| {
        tokio::task::yield_now().await;
        Some((Ok::<_, io::Error>(Bytes::new()), ()))
    });
    let drips = Bounds {
        within: Duration::from_millis(20),
        ..BOUNDS
    };
    slow(body::Body::from_stream(drops), Coding::Plain, drips).await;
}

#[tokio::test]
async fn a_body_takes_room_for_what_has_arrived_of_it() {
    let bounds = Bounds {
        max: 1 << 20,
        ..BOUNDS
    };
    let all = Room::new(3 << 20, Duration::ZERO);
    let taken = async |body, coding| {
        let mut held = all.of("a");
        assert!(read(body, coding, bounds, &mut held).await.is_ok());
        held.bytes()
    };
    let zeros = vec![0; 300 << 10];
    let endless = body::Body::from_stream(pieces(&zeros, 1 << 10));
    for (body, coding, bytes) in [
        (body::Body::empty(), Coding::Plain, 0),
        (body::Body::from("x"), Coding::Plain, 1),
        (body::Body::from(zeros.clone()), Coding::Plain, 300 << 10),
        (body::Body::from(gzip(b"x")), Coding::Gzip, STEP as u64),
        (body::Body::from(gzip(&zeros)), Coding::Gzip, 512 << 10),
        (endless, Coding::Plain, 512 << 10),
    ] {
        assert_eq!(taken(body, coding).await, bytes, "{coding:?}");
    }
    // As large as it may be, and then no room for another one.
    let largest = vec![0; 1 << 20];
    let mut held = all.of("a");
    let read_whole = read(body::Body::from(gzip(&largest)), Coding::Gzip, bounds, &mut held).await;
    assert_eq!((read_whole.unwrap().len(), held.bytes()), (1 << 20, 1 << 20));
    let mut none = all.of("a");
    let refused = read(body::Body::from("x"), Coding::Plain, bounds, &mut none)
        .await
        .unwrap_err();
    assert_eq!((refused.status.as_u16(), refused.kind), (503, "too_busy"));
    let mut other = all.of("b");
    assert!(
        read(body::Body::from("x"), Coding::Plain, bounds, &mut other)
            .await
            .is_ok()
    );
}

#[test]
fn a_body_has_the_time_that_its_largest_size_needs() {
    assert_eq!(Bounds::of(16 << 10).within, ON_ITS_WAY);
    assert_eq!(Bounds::of(10 << 20).within, ON_ITS_WAY + Duration::from_secs(160));
}

#[test]
fn codings_have_names_in_any_case() {
    let of = |names: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for name in names {
            headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        Coding::of(&headers).ok()
    };
    for (names, coding) in [
        (&[][..], Coding::Plain),
        (&["Identity"], Coding::Plain),
        (&["GZIP"], Coding::Gzip),
        (&["x-gzip"], Coding::Gzip),
        (&["Zstd"], Coding::Zstd),
    ] {
        assert_eq!(of(names), Some(coding), "{names:?}");
    }
    for names in [&["br"][..], &["gzip, zstd"], &["gzip", "gzip"], &[""]] {
        assert_eq!(of(names), None, "{names:?}");
    }
}

#[test]
fn a_size_is_said_as_it_was_meant() {
    for (bytes, said) in [
        (10 << 20, "10 MiB"),
        (1536, "1536 bytes"),
        (64 << 10, "64 KiB"),
        (0, "0 bytes"),
    ] {
        assert_eq!(size(bytes), said);
    }
}

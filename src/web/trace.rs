//! `traceparent` in and out, as W3C Trace Context has it: the trace is the caller's where it names one, else a fresh
//! one; every answer names it, with a span of ours.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The trace that a request belongs to. Put into every request by [`super::counted`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    id: [u8; 16],
    sampled: bool,
}

impl Trace {
    /// The caller's, or a fresh one. Of several headers, or one that is not as the standard says, nothing is believed.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut all = headers.get_all(TRACEPARENT).iter();
        let one = all.next().filter(|_| all.next().is_none());
        one.and_then(|value| parse(value.as_bytes()))
            .unwrap_or_else(|| Self {
                id: rand::random(),
                sampled: false,
            })
    }

    /// 32 hexadecimal digits.
    pub fn id(&self) -> String {
        hex(&self.id)
    }

    /// For the answer.
    pub fn header(&self) -> Option<HeaderValue> {
        let span: [u8; 8] = rand::random();
        let text = format!("00-{}-{}-0{}", self.id(), hex(&span), u8::from(self.sampled));
        HeaderValue::from_str(&text).ok()
    }
}

/// `00-<32 digits>-<16 digits>-<2 digits>`; later versions may say more behind it.
fn parse(text: &[u8]) -> Option<Trace> {
    let known = text.first_chunk::<55>()?;
    let further = &text[known.len()..];
    let dashes = [2, 35, 52].iter().all(|at| known[*at] == b'-');
    let version = digits::<1>(&known[..2])?[0];
    let fits = match version {
        0 => further.is_empty(),
        0xff => false,
        _ => further.first().is_none_or(|byte| *byte == b'-'),
    };
    let (id, span) = (digits::<16>(&known[3..35])?, digits::<8>(&known[36..52])?);
    let flags = digits::<1>(&known[53..])?[0];
    let is_one = dashes && fits && id != [0; 16] && span != [0; 8];
    is_one.then_some(Trace {
        id,
        sampled: flags & 1 == 1,
    })
}

/// Lower-case hexadecimal digits, and no others.
fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]));
    digits.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(values: &[&str]) -> Trace {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        Trace::of(&headers)
    }

    #[test]
    fn the_callers_trace_goes_on_in_a_span_of_ours() {
        let trace = of(&[GOOD]);
        assert_eq!(trace.id(), "0af7651916cd43dd8448eb211c80319c");
        let answer = trace.header().unwrap();
        let answer = answer.to_str().unwrap();
        assert!(
            answer.starts_with(&GOOD[..36]) && answer.ends_with("-01") && answer != GOOD,
            "{answer}"
        );
        assert_eq!(parse(answer.as_bytes()), Some(trace));
        // A later version, with more behind what is known.
        assert_eq!(of(&[&format!("cc{}-more", &GOOD[2..])]), trace);
    }

    #[test]
    fn what_is_no_traceparent_begins_a_trace_of_its_own() {
        let id = of(&[GOOD]).id();
        for values in [
            &[][..],
            &[""],
            &[GOOD, GOOD],
            &[&GOOD.to_uppercase()],
            &[&format!("{GOOD}-more")],
            &[&format!("ff{}", &GOOD[2..])],
            &["00-00000000000000000000000000000000-b7ad6b7169203331-01"],
            &["00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"],
        ] {
            let fresh = of(values);
            assert!(fresh.id() != id && fresh.id().len() == 32, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(bytes in prop::collection::vec(any::<u8>(), 0..70)) {
            let _ = parse(&bytes);
        }
    }
}

//! The query of a URL: pairs of a name and a value, percent-encoded.

use crate::event::problem::Problem;

/// The pairs, decoded, in order; repeated ones repeat. The problem names the first that can't be read.
pub fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let mut params = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decoded(name).ok_or_else(|| undecodable(name))?;
        let value = decoded(value).ok_or_else(|| undecodable(&name))?;
        if name.contains('\0') || value.contains('\0') {
            return Err(Problem::new(
                name.replace('\0', "?"),
                "a NUL character can't be part of a parameter",
            ));
        }
        params.push((name, value));
    }
    Ok(params)
}

/// The pairs as the query of a URL again.
pub fn query_of<'a>(params: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs = params
        .into_iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// A text as part of a URL.
pub fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn undecodable(name: &str) -> Problem {
    Problem::new(name, "is not UTF-8 in percent-encoding")
}

/// Percent-decoding of a query's part, with `+` for a space.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex = |digit: u8| char::from(digit).to_digit(16);
                let (high, low) = (hex(rest.next()?)?, hex(rest.next()?)?);
                (high * 16 + low) as u8
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parameters_are_decoded_once() {
        assert_eq!(decoded("a+b%2Bc%C3%A4").as_deref(), Some("a b+cä"));
        for bad in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
        assert_eq!(pairs("a=%ff").unwrap_err().field, "a");
        assert!(pairs("a=%00").is_err());
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(params in prop::collection::vec(("[^\0]{1,8}", "[^\0]{0,8}"), 0..5)) {
            let query = query_of(params.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            prop_assert_eq!(pairs(&query).unwrap(), params);
        }
    }
}

//! Random texts: letters and digits only, so that a double click selects the whole of one.

use rand::distr::{Alphanumeric, SampleString};
use secrecy::SecretString;

/// Letters in a secret of at least 256 bits: 62^43 > 2^256.
pub const SECRET_CHARS: usize = 43;

/// A secret of 256 bits, as 43 letters and digits.
pub fn secret() -> SecretString {
    text(SECRET_CHARS).into()
}

/// A password for people to copy once: 24 letters and digits, 142 bits.
pub fn password() -> SecretString {
    text(24).into()
}

/// A random name that is no secret: 16 letters and digits, 95 bits.
pub fn id() -> String {
    text(16)
}

fn text(chars: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), chars)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn texts_are_of_letters_and_digits_and_differ() {
        let (a, b) = (secret(), secret());
        assert_eq!(a.expose_secret().len(), SECRET_CHARS);
        assert!(a.expose_secret().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(a.expose_secret(), b.expose_secret());
        assert_ne!(id(), id());
    }
}

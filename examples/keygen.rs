//! Makes a key and prints it, for the secret manager: `cargo run --example keygen -- fernet|aead|hs256`.

#![expect(clippy::print_stdout, reason = "this is the program's output")]

use clap::{Parser, ValueEnum};
use latchkey::{
    SealingKey,
    cookie::{FernetKey, SigningKey},
};

/// Prints a fresh secret key, and nothing else, on the standard output.
#[derive(Parser)]
struct Args {
    /// What the key is for.
    kind: Kind,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// `FernetKey::from_base64`, and `Fernet(key)` in Python.
    Fernet,
    /// `SealingKey::from_base64`: cookies of our own format, and records sealed at rest.
    Aead,
    /// `SigningKey::from_text`, and `Session(app, secret_key=key)` in microdot.
    Hs256,
}

fn main() {
    println!("{}", key(Args::parse().kind));
}

fn key(kind: Kind) -> String {
    match kind {
        Kind::Fernet => FernetKey::generate().expose_base64().to_string(),
        Kind::Aead => SealingKey::generate().expose_base64().to_string(),
        Kind::Hs256 => SigningKey::generate().expose_text().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back_as_a_key() {
        assert!(FernetKey::from_base64(&key(Kind::Fernet)).is_ok());
        assert!(SealingKey::from_base64(&key(Kind::Aead)).is_ok());
        assert!(SigningKey::from_text(&key(Kind::Hs256)).is_ok());
    }
}

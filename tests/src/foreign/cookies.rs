use serde_json::{Value, json};

use super::process::Process;
use crate::TestResult;

/// A Python program that reads and writes cookies with other libraries.
#[derive(Debug)]
pub struct CookieService {
    process: Process,
}

/// A library for cookies in Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "tests match on it")]
pub enum CookieLibrary {
    /// cryptography: Fernet tokens with JSON in them.
    Fernet,
    /// sanic-cookies' `InCookieEncrypted`.
    SanicCookies,
    /// `PyJWT`.
    PyJwt,
    /// A request to a service that uses microdot.
    Microdot,
}

impl CookieLibrary {
    const fn name(self) -> &'static str {
        match self {
            Self::Fernet => "fernet",
            Self::SanicCookies => "sanic-cookies",
            Self::PyJwt => "pyjwt",
            Self::Microdot => "microdot",
        }
    }
}

impl CookieService {
    /// Starts it.
    ///
    /// # Errors
    /// When the libraries cannot be installed or the process cannot be started.
    pub async fn start() -> TestResult<Self> {
        let none: [&str; 0] = [];
        let process = Process::start("cookies", REQUIREMENTS, SERVICE, none);
        Ok(Self {
            process: process.await?,
        })
    }

    /// Does what `order` says, which is a JSON object, with that library; `error` in the answer names the exception.
    ///
    /// # Errors
    /// When the process has ended or its answer is no JSON.
    pub async fn ask(&mut self, library: CookieLibrary, mut order: Value) -> TestResult<Value> {
        order["with"] = json!(library.name());
        let answer = self.process.ask(&order.to_string()).await?;
        Ok(serde_json::from_str(&answer)?)
    }
}

const SERVICE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/foreign/cookie_service.py");
const REQUIREMENTS: &str = include_str!("../../foreign/requirements/cookies.txt");

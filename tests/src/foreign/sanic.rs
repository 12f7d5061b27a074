use serde_json::{Value, json};

use super::process::Process;
use crate::TestResult;

/// A Python service that uses sanic-cookies: the library's own code, behind requests that a test makes.
#[derive(Debug)]
pub struct SanicService {
    process: Process,
}

impl SanicService {
    /// A service on the Redis server at `url`.
    ///
    /// # Errors
    /// When the library cannot be installed or the process cannot be started.
    pub async fn start(url: &str) -> TestResult<Self> {
        let process = Process::start("sanic-cookies", REQUIREMENTS, SERVICE, [url]);
        Ok(Self {
            process: process.await?,
        })
    }

    /// One request with that cookie, which reads the session; its values and its ID afterwards.
    ///
    /// # Errors
    /// When the library fails.
    pub async fn read(&mut self, cookie: Option<&str>) -> TestResult<(Value, String)> {
        self.ask(&json!({"do": "read", "cookie": cookie})).await
    }

    /// One request that changes values under sanic-cookies' own lock.
    ///
    /// # Errors
    /// When the library fails.
    pub async fn write(
        &mut self,
        cookie: Option<&str>,
        values: &Value,
    ) -> TestResult<(Value, String)> {
        self.ask(&json!({"do": "write", "cookie": cookie, "values": values}))
            .await
    }

    /// A request that has loaded the session and changed values, and has not stored them yet.
    ///
    /// # Errors
    /// When the library fails.
    pub async fn begin_write(
        &mut self,
        cookie: &str,
        values: &Value,
    ) -> TestResult<(Value, String)> {
        self.ask(&json!({"do": "begin", "cookie": cookie, "values": values}))
            .await
    }

    /// The end of that request.
    ///
    /// # Errors
    /// When the library fails.
    pub async fn end_write(&mut self) -> TestResult<(Value, String)> {
        self.ask(&json!({"do": "end"})).await
    }

    /// A login with a time of its own, in seconds.
    ///
    /// # Errors
    /// When the library fails.
    pub async fn login(
        &mut self,
        cookie: Option<&str>,
        user: &Value,
        seconds: u32,
    ) -> TestResult<(Value, String)> {
        self.ask(&json!({"do": "login", "cookie": cookie, "user": user, "seconds": seconds}))
            .await
    }

    /// A logout.
    ///
    /// # Errors
    /// When the library fails.
    pub async fn logout(&mut self, cookie: &str) -> TestResult<(Value, String)> {
        self.ask(&json!({"do": "logout", "cookie": cookie})).await
    }

    async fn ask(&mut self, request: &Value) -> TestResult<(Value, String)> {
        let answer = self.process.ask(&request.to_string()).await?;
        let mut answer: Value = serde_json::from_str(&answer)?;
        match answer["error"].as_str() {
            Some(error) => Err(error.into()),
            None => {
                let id = answer["id"].as_str().ok_or("no ID")?.to_owned();
                Ok((answer["values"].take(), id))
            }
        }
    }
}

const SERVICE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/foreign/sanic_service.py");
const REQUIREMENTS: &str = include_str!("../../foreign/requirements/sanic-cookies.txt");

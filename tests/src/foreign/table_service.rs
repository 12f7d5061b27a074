use serde_json::Value;

use super::process::Process;
use crate::TestResult;

/// A Python service that keeps its sessions in a table of PostgreSQL.
#[derive(Debug)]
pub struct TableService {
    process: Process,
}

impl TableService {
    /// With piccolo_api, on the database at `url`, on a machine in that time zone.
    ///
    /// # Errors
    /// When the library cannot be installed or the process cannot be started.
    pub async fn piccolo(url: &str, zone: &str) -> TestResult<Self> {
        let requirements = include_str!("../../foreign/requirements/piccolo.txt");
        let process = Process::start("piccolo", requirements, PICCOLO, [url, zone]);
        Ok(Self {
            process: process.await?,
        })
    }

    /// With sanic-cookies, on the database at `url`.
    ///
    /// # Errors
    /// When the library cannot be installed or the process cannot be started.
    pub async fn gino(url: &str) -> TestResult<Self> {
        let requirements = include_str!("../../foreign/requirements/gino.txt");
        let process = Process::start("gino", requirements, GINO, [url]);
        Ok(Self {
            process: process.await?,
        })
    }

    /// What the library returned.
    ///
    /// # Errors
    /// When the library fails.
    pub async fn ask(&mut self, order: &Value) -> TestResult<Value> {
        let answer = self.process.ask(&order.to_string()).await?;
        let mut answer: Value = serde_json::from_str(&answer)?;
        match answer["error"].as_str() {
            Some(error) => Err(error.into()),
            None => Ok(answer["answer"].take()),
        }
    }
}

const PICCOLO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/foreign/piccolo_service.py");
const GINO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/foreign/gino_service.py");

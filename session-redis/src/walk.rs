//! Going through all records.

use redis::{Pipeline, Value};
use session_core::StoreError;
use session_lock::link::Link;

use crate::{delivery::Server, keys::Prefix};

/// A walk through all records of all servers: each that stands from its beginning to its end is met at least once, also if
/// it goes from one server to another one meanwhile.
#[derive(Default)]
pub(crate) struct Walk {
    /// The servers that are still to be gone through, the current one last, and the number of the map that named them.
    links: Vec<Link>,
    number: Option<u64>,
    cursor: u64,
}

impl Walk {
    /// The keys of some records; `None`: that was all.
    pub(crate) async fn next(
        &mut self,
        server: &Server,
        prefix: &Prefix,
        action: &'static str,
    ) -> Result<Option<Vec<String>>, StoreError> {
        if self.links.is_empty() {
            let links = server.way.links().await;
            let (links, number) = links.map_err(|error| server.failed(action, error))?;
            // What has moved meanwhile may have been missed.
            if self.number.replace(number) == Some(number) {
                return Ok(None);
            }
            self.links = links;
        }
        let Some(link) = self.links.last() else {
            return Ok(None);
        };
        let mut scan = Pipeline::new();
        scan.cmd("SCAN").arg(self.cursor);
        scan.arg("MATCH").arg(prefix.records());
        scan.arg("COUNT").arg(1000);
        let answers = link.call(&scan).await;
        let answers = answers.map_err(|error| server.failed(action, error))?;
        let (next, records) = match answers.into_iter().next() {
            Some(Value::ServerError(error)) => return Err(server.fault(action, &error)),
            Some(value) => redis::from_redis_value::<(u64, Vec<String>)>(value)
                .map_err(|_other| server.protocol(action))?,
            None => return Err(server.protocol(action)),
        };
        self.cursor = next;
        if next == 0 {
            self.links.pop();
        }
        Ok(Some(records))
    }
}

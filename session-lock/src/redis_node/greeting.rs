use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use redis::{Pipeline, RedisError, Value};

use super::{keys::Keys, scripts::Scripts};
use crate::{
    Fault,
    link::{CallError, Greeting, ServerInfo, server_error},
};

/// What each new connection of a node is asked: whether the server fits, and whether it is still the same run.
#[derive(Debug)]
pub(super) struct Greeter {
    node: Arc<str>,
    keys: Arc<Keys>,
    scripts: Arc<Scripts>,
    accepted_policy: Option<String>,
    /// Whether a restart may have lost something.
    may_lose_data: bool,
    last_run: Mutex<Option<String>>,
    restarts: AtomicU64,
    warned: AtomicBool,
}

impl Greeter {
    pub(super) const fn new(
        node: Arc<str>,
        keys: Arc<Keys>,
        scripts: Arc<Scripts>,
        accepted_policy: Option<String>,
        may_lose_data: bool,
    ) -> Self {
        Self {
            node,
            keys,
            scripts,
            accepted_policy,
            may_lose_data,
            last_run: Mutex::new(None),
            restarts: AtomicU64::new(0),
            warned: AtomicBool::new(false),
        }
    }

    pub(super) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    fn note(&self, run_id: &str) {
        let mut last = self.last_run.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.replace(run_id.to_owned());
        drop(last);
        if before.is_some_and(|before| before != run_id) {
            self.restarts.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                node = &*self.node,
                "the node's server was restarted or replaced"
            );
        }
    }

    fn check_info(&self, answer: &Value) -> Result<(), CallError> {
        let Some(info) = ServerInfo::read(answer) else {
            permitted(answer)?;
            if !self.warned.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    node = &*self.node,
                    "INFO is not permitted: version, role, eviction and restarts of the node are not checked"
                );
            }
            return Ok(());
        };
        let policy = self.accepted_policy.as_deref();
        info.check(policy).map_err(CallError::refused)?;
        if info.is_clustered() {
            return Err(CallError::refused(Fault::Unsuitable(CLUSTERED.to_owned())));
        }
        if let Some(run_id) = info.run_id() {
            self.note(run_id);
        }
        Ok(())
    }
}

impl Greeting for Greeter {
    fn questions(&self) -> Pipeline {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("INFO");
        if self.may_lose_data {
            let keys = [&*self.keys.marker, &self.keys.pending, &self.keys.run];
            self.scripts.verify.spell(&mut pipeline, &keys);
        }
        self.scripts.load(&mut pipeline);
        pipeline
    }

    fn check(&self, answers: &[Value]) -> Result<(), CallError> {
        let [info, rest @ ..] = answers else {
            return Err(CallError::refused(Fault::Protocol));
        };
        self.check_info(info)?;
        rest.iter().try_for_each(succeeded)
    }
}

const CLUSTERED: &str =
    "the server is a node of a cluster, which moves keys; a lock needs servers of their own";

fn succeeded(answer: &Value) -> Result<(), CallError> {
    match answer {
        Value::ServerError(error) => Err(CallError {
            fault: server_error(error),
            source: Some(RedisError::from(error.clone())),
            sent: false,
        }),
        _ => Ok(()),
    }
}

/// Fails unless the command was refused for want of permission.
fn permitted(answer: &Value) -> Result<(), CallError> {
    match answer {
        Value::ServerError(error) if error.code() == "NOPERM" => Ok(()),
        answer => succeeded(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeter() -> Greeter {
        let keys = Keys::new("latchkey", None).unwrap();
        let scripts = Scripts::new("", None);
        Greeter::new("node".into(), keys.into(), scripts.into(), None, true)
    }

    fn info(mode: &str, run_id: &str) -> Value {
        let text = format!(
            "redis_version:7.0.15\r\nrole:master\r\nredis_mode:{mode}\r\nrun_id:{run_id}\r\n"
        );
        Value::BulkString(text.into_bytes())
    }

    #[test]
    fn only_another_run_is_a_restart() {
        let greeter = greeter();
        for (run_id, restarts) in [("a", 0), ("a", 0), ("b", 1), ("b", 1), ("a", 2)] {
            greeter.check(&[info("standalone", run_id)]).unwrap();
            assert_eq!(greeter.restarts(), restarts);
        }
    }

    #[test]
    fn a_node_of_a_cluster_is_refused() {
        let error = greeter().check(&[info("cluster", "a")]).unwrap_err();
        assert!(matches!(error.fault, Fault::Unsuitable(_)));
    }
}

//! What lines and cohorts are synchronised by, and what their tasks run on. In unit tests it is shuttle: it decides at
//! each mutex and each await who goes on. See `schedules`.

pub(crate) use std::sync::PoisonError;

#[cfg(not(test))]
pub(crate) use real::*;
#[cfg(test)]
pub(crate) use scheduled::*;

#[cfg(not(test))]
mod real {
    pub(crate) use std::sync::{Mutex, MutexGuard};

    use tokio::runtime::Handle;

    /// What tasks run on.
    pub(crate) struct Runtime(Handle);

    impl Runtime {
        pub(crate) fn current() -> Option<Self> {
            Handle::try_current().ok().map(Self)
        }

        pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
            self.0.spawn(task);
        }
    }
}

#[cfg(test)]
mod scheduled {
    pub(crate) use shuttle::sync::{Mutex, MutexGuard};

    pub(crate) struct Runtime;

    impl Runtime {
        pub(crate) fn current() -> Option<Self> {
            Some(Self)
        }

        pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
            shuttle::future::spawn(task);
        }
    }
}

use std::fmt;

use tokio::runtime::{Builder, Handle, Runtime};

use super::{CallError, InsideRuntime, StartError};

/// A runtime with one worker, by which threads without a runtime make calls. May be dropped anywhere, and then waits for
/// nothing. For the blocking twins of what other crates have.
pub struct Background(Option<Runtime>);

impl Background {
    /// Starts one, and runs `connect` on it.
    ///
    /// # Errors
    /// [`StartError`]: inside of a runtime, when no thread can be started, or with the error of `connect`.
    pub fn start<T, E>(
        connect: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<(Self, T), StartError<E>> {
        refuse_inside_runtime()?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("latchkey")
            .enable_all()
            .build()
            .map_err(StartError::Runtime)?;
        let background = Self(Some(runtime));
        let connected = background.wait(connect()).map_err(StartError::Connect)?;
        Ok((background, connected))
    }

    /// Makes a call and waits for its answer.
    ///
    /// # Errors
    /// [`CallError`]: inside of a runtime, or with the error of the call.
    pub fn call<T, E>(&self, call: impl Future<Output = Result<T, E>>) -> Result<T, CallError<E>> {
        refuse_inside_runtime()?;
        self.wait(call).map_err(CallError::Failed)
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let runtime = self.0.as_ref();
        let runtime = runtime.expect("the runtime is there until the drop");
        runtime.block_on(future)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // An ordinary drop waits for the worker, which panics inside of another runtime.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background").finish_non_exhaustive()
    }
}

pub(super) fn refuse_inside_runtime() -> Result<(), InsideRuntime> {
    match Handle::try_current() {
        Ok(_) => Err(InsideRuntime),
        Err(_) => Ok(()),
    }
}

//! Conformance suites, servers and faults for tests of stores.

mod cancel; // dropping a future at each of its awaits
mod clock; // time that the test owns
mod flaky; // a secondary that fails, lags and loses answers
mod pausing; // a store that lets others get in between
mod scripted_node; // a node of a lock that fails, lags and hangs as the test says
mod suite; // how suites become tests

pub mod carried; // what a store has to show whose records the client carries
pub mod counter; // what a counter of uses has to show
pub mod locker; // what a locker has to show
pub mod node; // what a node of a quorum has to show
pub mod primary; // what a primary store has to show
pub mod records; // what a store of records has to show
pub mod scripts; // what the header of a Lua script has to say
pub mod secondary; // what a secondary has to show
#[cfg(feature = "servers")]
pub mod servers;
pub mod write_through; // what a primary has to show that writes through

pub use cancel::cancel_after;
pub use clock::{FakeClock, settle};
pub use flaky::{Flaky, Mood};
pub use pausing::{Pause, Pausing, Stopping, Stops, Turn, Yielding};
pub use scripted_node::{Act, ScriptedNode, Step};
#[doc(hidden)]
pub use suite::within_minutes;

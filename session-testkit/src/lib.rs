//! Conformance suites, servers and faults for tests of stores.

mod cancel; // dropping a future at each of its awaits
mod clock; // time that the test owns
mod suite; // how suites become tests
mod yielding; // a store that lets others get in between

pub mod locker; // what a locker has to show
pub mod primary; // what a primary store has to show
pub mod records; // what a store of records has to show
#[cfg(feature = "servers")]
pub mod servers;

pub use cancel::cancel_after;
pub use clock::{FakeClock, settle};
#[doc(hidden)]
pub use suite::within_a_minute;
pub use yielding::Yielding;

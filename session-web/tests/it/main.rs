//! The layer around handlers, in this process, on the store in memory; what is counted at the wire, on Redis.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support; // requests, answers, handlers

mod bad_input; // what clients may send
mod client_addresses; // where clients come from
mod cookies; // every attribute of every cookie
mod cross_site; // requests that other sites cause
mod errors; // the answers that errors make
mod flights; // what is asked of the store
mod following; // the session follows its handler
mod fuzzed; // any bytes as a cookie
mod headers; // IDs that travel in headers
mod locked; // locked around a handler
mod log; // what is logged
mod login; // logging in and out, devices
mod login_handlers; // logins and logouts that are ready to be routed to
mod login_limits; // how often logins may fail
mod login_required; // who is let through
mod metrics; // what is counted
mod old_ids; // answers to requests that come with an ID of before
mod on_redis; // what is asked of a real server
mod rate_limit; // so many requests in a window
mod rotated_keys; // replicas whose keys are replaced one after the other
mod sealed_ids; // IDs that are sealed or signed where they travel
mod several; // sessions of several kinds
mod stored_late; // commits whose secondary lags behind
mod unknown_limit; // who guesses IDs

//! Libraries in another language: locks that exclude us and that we exclude, and sessions that we share.

mod client; // one process that takes and gives back a lock
mod library; // which libraries, and how they name a lock
mod process; // a program that answers line by line
mod python; // a Python environment with a library
mod sanic; // a service that uses sanic-cookies

pub use client::ForeignClient;
pub use library::Library;
pub use sanic::SanicService;

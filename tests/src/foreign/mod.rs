//! Libraries in another language: locks that exclude us and that we exclude, and sessions that we share.

mod client; // one process that takes and gives back a lock
mod cookies; // a program that reads and writes cookies
mod library; // which libraries, and how they name a lock
mod process; // a program that answers line by line
mod python; // a Python environment with a library
mod sanic; // a service that uses sanic-cookies
mod table_service; // services that keep their sessions in PostgreSQL

pub use client::ForeignClient;
pub use cookies::{CookieLibrary, CookieService};
pub use library::Library;
pub use sanic::SanicService;
pub use table_service::TableService;

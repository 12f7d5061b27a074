mod builder; // settings
mod format; // what sanic-cookies expects of a record
mod leases; // renewing and giving back
mod scripts; // the only place that loads these scripts; Lua stands in lua/sanic/
mod store; // one method for each request

pub use self::{builder::SanicStoreBuilder, store::SanicStore};

//! Sessions in PostgreSQL, in tables of our own and in those that Python services share, on a real server.

mod blocking; // for threads without a runtime
mod faults; // what happens when the database does not answer, or does not fit
mod gino; // the table of sanic-cookies
mod locker; // locks in the tables of Latchkey
mod migrations; // the tables of Latchkey
mod outbox; // what waits for secondaries
mod piccolo; // the session table of piccolo_api
mod primary; // both as a primary
mod records; // sessions in them
mod schema; // a schema with them for each test
mod secondary; // sessions as a secondary interface sees them
mod stopped; // holders that come late, answers that are lost
mod support; // a schema for each test
mod tls; // connections over TLS

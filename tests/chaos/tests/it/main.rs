//! Sessions under fire: what was acknowledged is there, whatever fails.

mod broken; // libraries that break a promise, which the check has to find
mod chaos; // a run in which everything happens

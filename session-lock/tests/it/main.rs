//! Locks on a quorum of nodes, and what they are made of, mostly on a clock that the tests own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod acquire; // a quorum grants a lock, to one at a time
mod admission; // nodes that are new or have lost their data
mod bench; // a lock on nodes that do what the test says
mod cancellation; // callers that are cut off
mod config; // settings and names that are refused
mod conformance; // the suite of every node
mod drops; // leases that are dropped where nothing can be awaited
mod fence; // checks of tokens
mod fencing; // tokens that grow
mod keeper; // leases and their keeper, without nodes
mod loss; // extension, renewal, and leases that are lost
mod names; // what a great many names leave behind
mod nodes; // the node in memory
mod quorum_loss; // nodes that fail
mod redis_node; // nodes on real servers
mod scripts; // what the headers of scripts say
mod several; // several locks at once
mod shutdown; // giving everything back
mod simulation; // many seeded schedules of a bad network
mod stragglers; // nodes that answer late
mod support; // what tests of nodes have in common
mod waiting; // waiting for others

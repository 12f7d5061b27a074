//! The lock over several nodes, checked as a state machine.

mod model;

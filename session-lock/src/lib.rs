//! session-lock

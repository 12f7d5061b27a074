use clap::ValueEnum;

/// Who makes the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Library {
    Latchkey,
    Rslock,
    Redlock,
    /// No library: plain commands, up to a quorum
    Plain,
    /// Not a lock over nodes, but the one of a session
    Session,
}

impl Library {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Latchkey => "latchkey",
            Self::Rslock => "rslock",
            Self::Redlock => "redlock",
            Self::Plain => "plain",
            Self::Session => "session",
        }
    }
}

use std::env;

/// Parts of `cargo xtask test` that can be left out by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Format,
    Clippy,
    Doc,
    Processes,
    Containers,
    Postgresql,
    ForeignClients,
    Browser,
    Deny,
}

impl Part {
    const ALL: [Self; 9] = [
        Self::Format,
        Self::Clippy,
        Self::Doc,
        Self::Processes,
        Self::Containers,
        Self::Postgresql,
        Self::ForeignClients,
        Self::Browser,
        Self::Deny,
    ];

    /// The name in `LATCHKEY_SKIP` and, for the kinds of server, in `LATCHKEY_TEST_SERVERS`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Clippy => "clippy",
            Self::Doc => "doc",
            Self::Processes => "processes",
            Self::Containers => "containers",
            Self::Postgresql => "postgresql",
            Self::ForeignClients => "foreign-clients",
            Self::Browser => "browser",
            Self::Deny => "deny",
        }
    }
}

/// The parts that `LATCHKEY_SKIP` names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SkipList(Vec<Part>);

impl SkipList {
    pub(crate) const VARIABLE: &str = "LATCHKEY_SKIP";

    pub(crate) fn from_env() -> Result<Self, String> {
        match env::var(Self::VARIABLE) {
            Ok(names) => Self::parse(&names),
            Err(env::VarError::NotPresent) => Ok(Self::default()),
            Err(error) => Err(format!("{}: {error}", Self::VARIABLE)),
        }
    }

    /// A name that is not known is an error: a misspelt one would silently skip nothing.
    pub(crate) fn parse(names: &str) -> Result<Self, String> {
        let names = names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        let parts: Result<_, _> = names.map(part).collect();
        parts.map(Self)
    }

    pub(crate) fn contains(&self, part: Part) -> bool {
        self.0.contains(&part)
    }

    /// What the test fixtures are told; they know the servers, the foreign clients, the browser, and nothing else.
    pub(crate) fn fixtures(&self) -> String {
        let known = [
            Part::Processes,
            Part::Containers,
            Part::Postgresql,
            Part::ForeignClients,
            Part::Browser,
        ];
        let skipped = known.into_iter().filter(|part| self.contains(*part));
        skipped.map(Part::name).collect::<Vec<_>>().join(",")
    }
}

fn part(name: &str) -> Result<Part, String> {
    let known = Part::ALL.into_iter().find(|part| part.name() == name);
    known.ok_or_else(|| {
        let names = Part::ALL.map(Part::name).join(", ");
        format!(
            "{}: unknown part {name:?}; known are {names}",
            SkipList::VARIABLE
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_can_be_named() {
        for part in Part::ALL {
            assert!(SkipList::parse(part.name()).unwrap().contains(part));
        }
    }

    #[test]
    fn spaces_and_empty_names_are_ignored() {
        let skip = SkipList::parse(" deny, ,containers,").unwrap();
        assert_eq!(skip, SkipList(vec![Part::Deny, Part::Containers]));
        assert_eq!(SkipList::parse(""), Ok(SkipList::default()));
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
        let message = SkipList::parse("deny,dockers").unwrap_err();
        assert!(message.contains("\"dockers\""), "{message}");
        assert!(message.contains("containers"), "{message}");
    }

    #[test]
    fn fixtures_are_told_of_servers_and_clients_only() {
        let skip = "deny,browser,foreign-clients,containers,format,postgresql";
        let skip = SkipList::parse(skip).unwrap();
        let told = "containers,postgresql,foreign-clients,browser";
        assert_eq!(skip.fixtures(), told);
    }
}

use std::{future::Future, time::Duration};

/// Turns a list of clauses into tests. Used by the suites' own macros.
#[doc(hidden)]
#[macro_export]
macro_rules! suite {
    ($fixture:ty, $clauses:path, $trait:path, $(#[$test:meta] $($name:ident)+)+) => {
        $crate::suite! { @groups $fixture, $clauses, $trait, $( { #[$test] $($name)+ } )+ }
    };
    (@groups $fixture:ty, $clauses:path, $trait:path, $( { $($group:tt)+ } )+) => {
        $( $crate::suite! { @group $fixture, $clauses, $trait, $($group)+ } )+
    };
    (@group $fixture:ty, $clauses:path, $trait:path, #[$test:meta] $($name:ident)+) => {
        $(
            #[$test]
            async fn $name() {
                use $clauses as clauses;
                let fixture = <$fixture as $trait>::fresh().await;
                $crate::within_minutes(clauses::$name(&fixture)).await;
                assert_eq!(
                    <$fixture as $trait>::keys_without_ttl(&fixture).await,
                    Vec::<String>::new(),
                    "keys stay on the server for ever"
                );
            }
        )+
    };
}

/// Fails a test that hangs instead of letting it hang.
#[doc(hidden)]
pub async fn within_minutes<T>(test: impl Future<Output = T>) -> T {
    let limit = tokio::time::timeout(3 * Duration::from_secs(60), test);
    limit.await.expect("the test hangs")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    fn clauses(sources: &[&'static str]) -> BTreeSet<&'static str> {
        let lines = sources.iter().flat_map(|source| source.lines());
        lines
            .filter_map(|line| line.strip_prefix("pub async fn "))
            .filter_map(|line| line.split('<').next())
            .collect()
    }

    /// The names in the macro of a suite, each on a line of its own.
    fn listed(source: &'static str) -> BTreeSet<&'static str> {
        let (_, list) = source.split_once("$crate::suite! {").unwrap();
        let (list, _) = list.split_once("\n        }").unwrap();
        let names = list.lines().skip(1).map(str::trim);
        names
            .filter(|name| !name.is_empty() && !name.starts_with('#'))
            .collect()
    }

    #[test]
    fn every_clause_is_listed_in_the_macro_of_its_suite() {
        let primary = clauses(&[
            include_str!("primary/aliases.rs"),
            include_str!("primary/cancelling.rs"),
            include_str!("primary/committing.rs"),
            include_str!("primary/creating.rs"),
            include_str!("primary/ending.rs"),
            include_str!("primary/guards.rs"),
            include_str!("primary/events.rs"),
            include_str!("primary/interleaving.rs"),
            include_str!("primary/lifetimes.rs"),
            include_str!("primary/locking.rs"),
            include_str!("primary/logging_in.rs"),
            include_str!("primary/reading.rs"),
            include_str!("primary/revoking.rs"),
            include_str!("primary/rotating.rs"),
            include_str!("primary/unlocked.rs"),
        ]);
        assert_eq!(listed(include_str!("primary/mod.rs")), primary);
        let records = clauses(&[include_str!("records/clauses.rs")]);
        assert_eq!(listed(include_str!("records/mod.rs")), records);
        let carried = clauses(&[include_str!("carried/clauses.rs")]);
        assert_eq!(listed(include_str!("carried/mod.rs")), carried);
        let secondary = clauses(&[include_str!("secondary/clauses.rs")]);
        assert_eq!(listed(include_str!("secondary/mod.rs")), secondary);
        let counter = clauses(&[include_str!("counter/clauses.rs")]);
        assert_eq!(listed(include_str!("counter/mod.rs")), counter);
        let through = clauses(&[include_str!("write_through/clauses.rs")]);
        assert_eq!(listed(include_str!("write_through/mod.rs")), through);
        let locker = clauses(&[include_str!("locker/clauses.rs")]);
        assert_eq!(listed(include_str!("locker/mod.rs")), locker);
        let node = clauses(&[
            include_str!("node/acquiring.rs"),
            include_str!("node/admitting.rs"),
            include_str!("node/extending.rs"),
            include_str!("node/fences.rs"),
            include_str!("node/releasing.rs"),
        ]);
        assert_eq!(listed(include_str!("node/mod.rs")), node);
    }
}

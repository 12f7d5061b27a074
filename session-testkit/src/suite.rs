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
    (@group $fixture:ty, $clauses:path, $trait:path, #[$test:meta] $name:ident $($rest:ident)*) => {
        #[$test]
        async fn $name() {
            use $clauses as clauses;
            let fixture = <$fixture as $trait>::fresh().await;
            $crate::within_a_minute(clauses::$name(&fixture)).await;
            assert_eq!(
                <$fixture as $trait>::keys_without_ttl(&fixture).await,
                Vec::<String>::new(),
                "keys stay on the server for ever"
            );
        }
        $crate::suite! { @group $fixture, $clauses, $trait, #[$test] $($rest)* }
    };
    (@group $fixture:ty, $clauses:path, $trait:path, #[$test:meta]) => {};
}

/// Fails a test that hangs instead of letting it hang.
#[doc(hidden)]
pub async fn within_a_minute<T>(test: impl Future<Output = T>) -> T {
    let limit = tokio::time::timeout(Duration::from_secs(60), test);
    limit.await.expect("the test hangs")
}

use std::{sync::Arc, time::Duration};

use http::Request;
use session_core::{Allowance, CountedName, Limit, StoreError, UseCounter};

use crate::{ClientAddress, measure};

/// How often logins may fail, for [`LoginHandler::limits`](crate::LoginHandler::limits): 5 times for an account and 20 times
/// from an address in 15 minutes. Beyond that, nobody is checked: 429 with `Retry-After`.
///
/// An account or address that has used up its window waits until its end; the next window is twice as long as that one, up
/// to an hour. A login that succeeds begins anew for its account, not for its address. Tries count from when they begin, so
/// that many at the same moment do not get round it, and one that could not be checked does not count.
///
/// **Names that nobody has are counted like others**, and hashed like them, so a limit does not tell who is known; what a
/// name is folded to is chosen by [`Credentials::account`](crate::Credentials::account). Whoever knows a name can keep its
/// user from logging in for as long as the window; sessions that live are not touched. When the counter fails nobody is
/// logged in (503): otherwise breaking it would allow any number of tries. Source: ASVS 5.0, 6.3.1; NIST SP 800-63B, 3.2.2.
#[derive(Clone, Debug)]
#[must_use]
pub struct LoginLimits {
    counter: Arc<dyn UseCounter>,
    addresses: ClientAddress,
    account: Limit,
    address: Limit,
}

impl LoginLimits {
    /// Counted by `counter` (a `RedisStore` counts for all replicas), for clients from `addresses`.
    pub fn new(counter: impl UseCounter, addresses: ClientAddress) -> Self {
        Self {
            counter: Arc::new(counter),
            addresses,
            account: usual(5),
            address: usual(20),
        }
    }

    /// Another limit for each account. Default: 5 in 15 minutes, growing to an hour.
    pub const fn per_account(mut self, limit: Limit) -> Self {
        self.account = limit;
        self
    }

    /// Another limit for each address. Default: 20 in 15 minutes, growing to an hour.
    pub const fn per_address(mut self, limit: Limit) -> Self {
        self.address = limit;
        self
    }

    pub(crate) fn client<B>(&self, request: &Request<B>) -> CountedName {
        self.addresses.name("login from", request)
    }

    /// Asks for a try. The client is asked first: who is over its limit cannot use up that of others' accounts.
    pub(crate) async fn begin(
        &self,
        client: CountedName,
        account: &str,
    ) -> Result<Result<Try<'_>, Duration>, StoreError> {
        let begun = self.ask(client, account).await;
        let outcome = match &begun {
            Ok(Ok(_)) => "granted",
            Ok(Err(_)) => "refused",
            Err(_) => "failed",
        };
        measure::limit("login", outcome);
        begun
    }

    async fn ask(
        &self,
        client: CountedName,
        account: &str,
    ) -> Result<Result<Try<'_>, Duration>, StoreError> {
        let account = CountedName::new("login as", account);
        if let Allowance::Refused { retry_after } =
            self.counter.take(&client, &self.address).await?
        {
            return Ok(Err(retry_after));
        }
        let tried = Try {
            limits: self,
            client,
            account,
        };
        let taken = self.counter.take(&account, &self.account).await;
        match taken {
            Ok(Allowance::Refused { retry_after }) => {
                tried.give_back_client().await;
                Ok(Err(retry_after))
            }
            Ok(_) => Ok(Ok(tried)),
            Err(error) => {
                tried.give_back_client().await;
                Err(error)
            }
        }
    }
}

const WINDOW: Duration = Duration::from_secs(15 * 60);
const LONGEST: Duration = Duration::from_secs(3600);

fn usual(failures: u32) -> Limit {
    let limit = Limit::new(failures, WINDOW).and_then(|limit| limit.growing_to(LONGEST));
    limit.expect("the numbers are in range")
}

/// A try that is counted as a failure until it is known to be none.
#[derive(Debug)]
pub(crate) struct Try<'a> {
    limits: &'a LoginLimits,
    client: CountedName,
    account: CountedName,
}

impl Try<'_> {
    /// The password was right.
    pub(crate) async fn succeeded(self) {
        log(self.limits.counter.forget(&self.account).await);
        self.give_back_client().await;
    }

    /// Nobody knows whether it was.
    pub(crate) async fn came_to_nothing(self) {
        let limits = self.limits;
        log(limits
            .counter
            .give_back(&self.account, &limits.account)
            .await);
        self.give_back_client().await;
    }

    async fn give_back_client(&self) {
        let limits = self.limits;
        log(limits
            .counter
            .give_back(&self.client, &limits.address)
            .await);
    }
}

/// What is not given back ends with its window.
fn log(done: Result<(), StoreError>) {
    if let Err(error) = done {
        let error: &(dyn std::error::Error + 'static) = &error;
        tracing::warn!(error, "a login cannot be taken from its limit");
    }
}

use std::{marker::PhantomData, sync::Arc, time::Duration};

use session_cookie::{
    CookieOptions, EncryptedCookie, FernetKey, FernetKeys, SignedCookie, SigningKey, SigningKeys,
};
use session_core::{
    CarriedStore, Clock as _, MemoryRevocationList, SealingCipher, SealingKey, SealingKeys,
    Timeouts,
};
use session_testkit::{FakeClock, carried::CarriedFixture};

pub(crate) const NAME: &str = "__Host-session";
const MINUTE: Duration = Duration::from_secs(60);

/// A cookie under test: `F` is its format, `L` whether it has a revocation list.
pub(crate) struct Cookie<F: Format, L> {
    clock: FakeClock,
    own: F::Key,
    other: F::Key,
    list: MemoryRevocationList,
    has_list: PhantomData<L>,
}

pub(crate) trait Format: Send + Sync + 'static {
    type Store: CarriedStore;
    type Key: Send + Sync;
    const MADE_IS_KNOWN: bool;

    fn key() -> Self::Key;
    fn store(key: &Self::Key, older: Option<&Self::Key>, options: CookieOptions) -> Self::Store;
}

pub(crate) trait List: Send + Sync + 'static {
    const THERE: bool;
}

pub(crate) struct WithList;
pub(crate) struct WithoutList;

impl List for WithList {
    const THERE: bool = true;
}

impl List for WithoutList {
    const THERE: bool = false;
}

pub(crate) fn timeouts() -> Timeouts {
    Timeouts::new(10 * MINUTE, 45 * MINUTE).unwrap()
}

pub(crate) fn options(clock: &FakeClock) -> CookieOptions {
    let options = CookieOptions::new(NAME).unwrap().timeouts(timeouts());
    options.clock(Arc::new(clock.clone()))
}

impl<F: Format, L: List> Cookie<F, L> {
    fn make(&self, key: &F::Key, older: Option<&F::Key>, clock: &FakeClock) -> F::Store {
        let options = options(clock);
        let options = if L::THERE {
            options.revocation_list(self.list.clone())
        } else {
            options
        };
        F::store(key, older, options)
    }
}

impl<F: Format, L: List> CarriedFixture for Cookie<F, L> {
    type Store = F::Store;

    const MADE_IS_KNOWN: bool = F::MADE_IS_KNOWN;

    async fn fresh() -> Self {
        let clock = FakeClock::new();
        Self {
            list: MemoryRevocationList::with_clock(Arc::new(clock.clone())),
            clock,
            own: F::key(),
            other: F::key(),
            has_list: PhantomData,
        }
    }

    fn store(&self) -> F::Store {
        self.make(&self.own, None, &self.clock)
    }

    fn ahead(&self, span: Duration) -> F::Store {
        let clock = FakeClock::new();
        clock.set_unix_time(self.clock.unix_time() + span);
        self.make(&self.own, None, &clock)
    }

    fn under_another_key(&self) -> F::Store {
        self.make(&self.other, None, &self.clock)
    }

    fn under_a_newer_key(&self) -> F::Store {
        self.make(&self.other, Some(&self.own), &self.clock)
    }

    fn timeouts(&self) -> Timeouts {
        timeouts()
    }

    async fn pass(&self, span: Duration) {
        self.clock.advance(span);
    }
}

pub(crate) struct Aead;
pub(crate) struct Gcm;
pub(crate) struct Fernet;
pub(crate) struct Jwt;
pub(crate) struct Endless;

impl Format for Aead {
    type Store = EncryptedCookie;
    type Key = SealingKey;
    const MADE_IS_KNOWN: bool = true;

    fn key() -> SealingKey {
        SealingKey::generate()
    }

    fn store(key: &SealingKey, older: Option<&SealingKey>, options: CookieOptions) -> Self::Store {
        EncryptedCookie::aead(sealing(key, older), options)
    }
}

impl Format for Gcm {
    type Store = EncryptedCookie;
    type Key = SealingKey;
    const MADE_IS_KNOWN: bool = true;

    fn key() -> SealingKey {
        SealingKey::generate()
    }

    fn store(key: &SealingKey, older: Option<&SealingKey>, options: CookieOptions) -> Self::Store {
        let keys = sealing(key, older).cipher(SealingCipher::Aes256Gcm);
        EncryptedCookie::aead(keys, options)
    }
}

fn sealing(key: &SealingKey, older: Option<&SealingKey>) -> SealingKeys {
    let keys = SealingKeys::new(key);
    older.map_or(keys.clone(), |older| keys.opening(older))
}

impl Format for Fernet {
    type Store = EncryptedCookie;
    type Key = FernetKey;
    const MADE_IS_KNOWN: bool = true;

    fn key() -> FernetKey {
        FernetKey::generate()
    }

    fn store(key: &FernetKey, older: Option<&FernetKey>, options: CookieOptions) -> Self::Store {
        let keys = FernetKeys::new(key);
        let keys = older.map_or(keys.clone(), |older| keys.opening(older));
        EncryptedCookie::fernet(keys, options)
    }
}

impl Format for Jwt {
    type Store = SignedCookie;
    type Key = SigningKey;
    const MADE_IS_KNOWN: bool = false;

    fn key() -> SigningKey {
        SigningKey::generate()
    }

    fn store(key: &SigningKey, older: Option<&SigningKey>, options: CookieOptions) -> Self::Store {
        SignedCookie::new(signing(key, older), options)
    }
}

impl Format for Endless {
    type Store = SignedCookie;
    type Key = SigningKey;
    const MADE_IS_KNOWN: bool = false;

    fn key() -> SigningKey {
        SigningKey::generate()
    }

    fn store(key: &SigningKey, older: Option<&SigningKey>, _options: CookieOptions) -> Self::Store {
        SignedCookie::without_expiry(signing(key, older), NAME).unwrap()
    }
}

fn signing(key: &SigningKey, older: Option<&SigningKey>) -> SigningKeys {
    let keys = SigningKeys::new(key);
    older.map_or(keys.clone(), |older| keys.accepting(older))
}

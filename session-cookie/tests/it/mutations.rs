use std::{collections::BTreeMap, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use proptest::{collection::btree_map, prelude::*, sample::Index};
use session_cookie::{
    CookieOptions, EncryptedCookie, FernetKey, FernetKeys, SignedCookie, SigningKey, SigningKeys,
};
use session_core::{CarriedStore, CommitCarriedError, SealingKey, SealingKeys};

static STORES: LazyLock<[Box<dyn CarriedStore>; 4]> = LazyLock::new(|| {
    let options = || CookieOptions::new("session").unwrap();
    let signing = SigningKeys::new(&SigningKey::generate());
    let endless = SignedCookie::without_expiry(signing.clone(), "session");
    [
        Box::new(EncryptedCookie::aead(
            SealingKeys::new(&SealingKey::generate()),
            options(),
        )),
        Box::new(EncryptedCookie::fernet(
            FernetKeys::new(&FernetKey::generate()),
            options(),
        )),
        Box::new(SignedCookie::new(signing, options())),
        Box::new(endless.unwrap()),
    ]
});

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

type Values = BTreeMap<String, (i64, String, Vec<Option<bool>>)>;

fn values() -> impl Strategy<Value = Values> {
    // Registered claims and the library's own names are tested elsewhere.
    let name = "[^\\x00]{0,12}".prop_filter("a claim", |name| name.len() != 3);
    let value = (
        any::<i64>(),
        ".{0,30}",
        prop::collection::vec(any::<Option<bool>>(), 0..4),
    );
    btree_map(name, value, 0..12)
}

fn record(store: &dyn CarriedStore, values: &Values) -> Result<String, CommitCarriedError> {
    let mut session = store.create();
    for (name, value) in values {
        session.insert(name.as_str(), value).unwrap();
    }
    block_on(store.commit(&session))
}

/// What somebody does to a record.
#[derive(Clone, Debug)]
enum Damage {
    Replace(Index, char),
    Insert(Index, char),
    Remove(Index),
    Swap(Index, Index),
    Bit(Index, u8),
    Splice(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), "[A-Za-z0-9_=.-]").prop_map(|(at, by)| Damage::Replace(at, first(&by))),
        (any::<Index>(), any::<char>()).prop_map(|(at, by)| Damage::Insert(at, by)),
        any::<Index>().prop_map(Damage::Remove),
        any::<(Index, Index)>().prop_map(|(one, other)| Damage::Swap(one, other)),
        (any::<Index>(), 0_u8..8).prop_map(|(at, bit)| Damage::Bit(at, bit)),
        any::<Index>().prop_map(Damage::Splice),
    ]
}

fn first(text: &str) -> char {
    text.chars().next().unwrap()
}

impl Damage {
    fn to(&self, record: &str, other: &str) -> String {
        let mut chars: Vec<char> = record.chars().collect();
        match self {
            Self::Replace(at, by) => *at.get_mut(&mut chars) = *by,
            Self::Insert(at, by) => chars.insert(at.index(chars.len() + 1), *by),
            Self::Remove(at) => drop(chars.remove(at.index(chars.len()))),
            Self::Swap(one, other) => {
                let len = chars.len();
                chars.swap(one.index(len), other.index(len));
            }
            // Below the base64, where there is one piece of it.
            Self::Bit(at, bit) => {
                if let Ok(mut bytes) = URL_SAFE.decode(record) {
                    *at.get_mut(&mut bytes) ^= 1 << bit;
                    return URL_SAFE.encode(bytes);
                }
                let at = at.index(chars.len());
                chars[at] = char::from(record.as_bytes()[at] ^ (1 << (bit % 7)));
            }
            // The beginning of this one and the end of another.
            Self::Splice(at) => {
                let at = at.index(chars.len());
                chars.truncate(at);
                chars.extend(other.chars().skip(at));
            }
        }
        chars.into_iter().collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn values_come_back(values in values()) {
        for store in &*STORES {
            let Ok(record) = record(&**store, &values) else { continue };
            let loaded = block_on(store.load(&record)).unwrap();
            prop_assert_eq!(loaded.len(), values.len());
            for (name, value) in &values {
                let found = loaded.get(name.as_str()).unwrap();
                prop_assert_eq!(found.as_ref(), Some(value));
            }
        }
    }

    #[test]
    fn no_mutation_is_accepted(one in values(), other in values(), damages in prop::collection::vec(damage(), 1..6)) {
        for store in &*STORES {
            let (Ok(one), Ok(other)) = (record(&**store, &one), record(&**store, &other)) else {
                continue;
            };
            for damage in &damages {
                let damaged = damage.to(&one, &other);
                if damaged != one && damaged != other {
                    prop_assert!(block_on(store.load(&damaged)).is_err(), "{damage:?}");
                }
            }
        }
    }

    #[test]
    fn arbitrary_text_never_panics_and_is_never_accepted(text in prop_oneof![".{0,200}", "[A-Za-z0-9_.=-]{0,400}"]) {
        for store in &*STORES {
            prop_assert!(block_on(store.load(&text)).is_err());
        }
    }
}

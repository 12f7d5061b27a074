//! What the fuzz target `cookie` does, over its corpus and mutations of it.

use std::{fs, path::Path};

use axum::Router;
use http::{HeaderValue, Method, StatusCode, header};
use session_core::MemoryStore;
use session_testkit::{Stopping, Stops};
use session_web::{SessionLayer, read_cookie_header};

use crate::support::*;

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/cookie");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut corpus: Vec<_> = files
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect();
    corpus.sort();
    assert!(corpus.len() >= 20);
    corpus
}

/// Numbers that are the same in each run. Source: Marsaglia, "Xorshift RNGs" (2003).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        const TELLING: &[u8] = b";=%\"\\ ,\t\xff\x80A_-.~";
        let at = self.below(bytes.len() + 1);
        match self.below(6) {
            0 => bytes.insert(at, TELLING[self.below(TELLING.len())]),
            1 => bytes.insert(at, u8::try_from(self.below(256)).unwrap()),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            4 => {
                let from = self.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                let end = at + self.below(bytes.len() - at + 1);
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}

/// What the layer makes of such a header: it is read or refused, and changes nothing.
async fn assert_harmless(app: &Router, bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    for (method, path) in [(Method::GET, "/read"), (Method::POST, "/touch")] {
        let answer = send(
            app,
            request(method, path).header(header::COOKIE, value.clone()),
        )
        .await;
        let expected = [StatusCode::OK, StatusCode::BAD_REQUEST];
        assert!(
            expected.contains(&answer.status),
            "{} to {bytes:?}",
            answer.status
        );
        assert!(answer.sets_no_cookie());
    }
}

#[tokio::test]
async fn no_header_of_the_corpus_and_none_of_10_000_mutations_does_harm() {
    let stops = Stops::nowhere();
    let store = Stopping::new(MemoryStore::new(), stops.clone());
    let app = app(SessionLayer::new(session_core::Sessions::new(store)));
    let corpus = corpus();
    for (name, bytes) in &corpus {
        let names_one = read_cookie_header(bytes);
        let expected = [
            "one",
            "among-others",
            "twice",
            "bearer",
            "attributes",
            "latin1",
        ];
        let expected = expected.contains(&&**name);
        // White space around a name or value is not part of it.
        if !["spaces", "tabs", "quoted"].contains(&&**name) {
            assert_eq!(names_one, expected, "{name}");
        }
        assert_harmless(&app, bytes).await;
    }
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut named = 0;
    for round in 0..10_000 {
        let (_, mut bytes) = corpus[chance.below(corpus.len())].clone();
        for _ in 0..=chance.below(4) {
            let other = &corpus[chance.below(corpus.len())].1;
            chance.mutate(&mut bytes, other);
        }
        named += u32::from(read_cookie_header(&bytes));
        if round % 10 == 0 {
            assert_harmless(&app, &bytes).await;
        }
    }
    assert!(
        named > 100,
        "mutations hit {named} times what they should hit"
    );
}

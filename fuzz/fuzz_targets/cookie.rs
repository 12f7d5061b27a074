//! Arbitrary bytes in the place of a `Cookie` header: no session, one whose ID stands there, or a refusal; never a panic.
//!
//! `cargo fuzz run cookie`, from the root of the repository. The same function runs over the corpus and over mutations of it
//! in the tests of `session-web`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    session_web::read_cookie_header(bytes);
});

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use zeroize::ZeroizeOnDrop;

use super::*;
use crate::{Attempt, CommitId, ConfigError, Digest, IDENTITY, RecordKind, SessionHandle};

const LIMIT: usize = 1 << 20;
const CIPHERS: [(SealingCipher, usize); 2] = [
    (SealingCipher::XChaCha20Poly1305, 49),
    (SealingCipher::Aes256Gcm, 37),
];

fn key(number: u8) -> SealingKey {
    SealingKey::from_bytes(&[number; 32]).unwrap()
}

fn sealing(cipher: SealingCipher) -> Seal {
    Seal::with(SealingKeys::new(&key(1)).cipher(cipher))
}

fn session(number: u8, bucket: u16) -> SessionKey {
    SessionKey::from_parts([number; 32], bucket).unwrap()
}

fn data(text: &str) -> SessionData {
    let mut data = SessionData::new(Codec::MessagePack, LIMIT);
    data.insert("text", text).unwrap();
    data
}

/// A record as it stands in a store.
struct Record {
    key: SessionKey,
    header: Header,
    body: Bytes,
}

impl Record {
    fn of(seal: &Seal, data: &SessionData) -> Self {
        let key = session(7, 70);
        let mut header = Header::new(CommitId::random());
        header.user_tag = 3;
        header.idle_timeout = Duration::from_secs(60);
        header.digest.note(Attempt {
            process: 1,
            number: 2,
        });
        let (header, body) = seal.close(&key, header, data);
        Self { key, header, body }
    }

    fn open(&self, seal: &Seal) -> Result<Opened, BadRecord> {
        seal.open(&self.key, &self.header, &self.body, LIMIT)
    }

    fn fault(&self, seal: &Seal) -> Option<BadRecord> {
        self.open(seal).err()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.header.encode(&mut bytes);
        bytes.extend_from_slice(&self.body);
        bytes
    }

    fn head_len(&self) -> usize {
        self.to_bytes().len() - self.body.len()
    }

    /// What a store reads that finds these bytes.
    fn read(key: SessionKey, bytes: &[u8]) -> Result<Self, BadRecord> {
        let (header, body) = Header::decode(bytes)?;
        let body = Bytes::copy_from_slice(&bytes[body..]);
        Ok(Self { key, header, body })
    }

    /// What comes of the record if these bytes stand in its place.
    fn open_as(&self, seal: &Seal, bytes: &[u8]) -> Result<Opened, BadRecord> {
        Self::read(self.key, bytes)?.open(seal)
    }
}

fn text(opened: &Opened) -> Option<String> {
    opened.data.get("text").unwrap()
}

#[test]
fn what_is_sealed_reads_back_and_shows_nothing() {
    for (cipher, overhead) in CIPHERS {
        let (seal, data) = (sealing(cipher), data("correct horse battery"));
        let record = Record::of(&seal, &data);
        assert!(record.header.is_sealed());
        let opened = record.open(&seal).unwrap();
        assert_eq!(text(&opened).as_deref(), Some("correct horse battery"));
        assert!(!opened.outdated && !opened.data.is_modified());
        assert_eq!(record.body.len(), data.encode().len() + overhead);
        for shown in ["text", "horse"] {
            let shown = shown.as_bytes();
            assert!(!record.body.windows(shown.len()).any(|part| part == shown));
        }
    }
}

#[test]
fn no_nonce_comes_twice() {
    for (cipher, overhead) in CIPHERS {
        let (seal, data) = (sealing(cipher), data("same"));
        let header = Header::new(CommitId::random());
        let nonces: std::collections::HashSet<Bytes> = (0..1_000)
            .map(|_| seal.close(&session(1, 1), header.clone(), &data).1)
            .map(|body| body.slice(9..overhead - 16))
            .collect();
        assert_eq!(nonces.len(), 1_000);
    }
}

// Made by another implementation of both ciphers, from the description of the format alone.
#[test]
fn records_of_another_implementation_are_read() {
    let mut header = vec![0; 24];
    header.extend(b"LK\x01L\x01\x23\x45\x67\x89\xab\xcd\xef");
    header.extend(1_800_000_u64.to_be_bytes());
    header.extend(0..16);
    header.extend(7_u64.to_be_bytes());
    header.extend([Header::SEALED, 0]);
    let secret: Vec<u8> = (0..32).collect();
    let keys = SealingKeys::new(&SealingKey::from_bytes(&secret).unwrap());
    let seal = Seal::with(keys);
    for body in [
        "0157869a5df5d37a246465666768696a6b6c6d6e6f707172737475767778797a7b269d82c69ee919302ac84243fc1513df\
         e4821d7c",
        "0257869a5df5d37a24c8c9cacbcccdcecfd0d1d2d3e9a351bea846d983fabccb141a185dea99bedba3",
    ] {
        let record = Record::read(session(0x11, 0xabc), &[&header[..], &hex(body)].concat());
        let opened = record.unwrap().open(&seal).unwrap();
        assert_eq!(opened.data.get::<u8>("n").unwrap(), Some(1));
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .collect();
    let bytes = digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]);
    bytes.map(|byte| u8::try_from(byte).unwrap()).collect()
}

/// Where a store sets a header: revision, creation and absolute end, and the attempts after their number.
fn is_set_by_the_store(at: usize, head_len: usize) -> bool {
    at < crate::FILLED_AT_CREATION || (70..head_len).contains(&at)
}

#[test]
fn every_single_bit_that_is_flipped_is_refused() {
    for (cipher, _) in CIPHERS {
        let seal = sealing(cipher);
        let record = Record::of(&seal, &data("value"));
        let (bytes, head_len) = (record.to_bytes(), record.head_len());
        for (at, bit) in (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let opened = record.open_as(&seal, &flipped);
            assert_eq!(
                opened.is_ok(),
                is_set_by_the_store(at, head_len),
                "bit {bit} of byte {at}: {:?}",
                opened.err()
            );
        }
    }
}

#[test]
fn records_that_are_cut_off_or_go_on_are_refused() {
    for (cipher, overhead) in CIPHERS {
        let seal = sealing(cipher);
        let record = Record::of(&seal, &data("value"));
        let bytes = record.to_bytes();
        let shortest = record.head_len() + overhead;
        for len in 0..bytes.len() {
            let fault = record.open_as(&seal, &bytes[..len]).err().unwrap();
            let expected = match len {
                _ if len < 26 => BadRecord::Foreign,
                _ if len < shortest => BadRecord::CutOff,
                _ => BadRecord::BrokenSeal,
            };
            assert_eq!(fault, expected, "{len} bytes");
        }
        let longer = [&bytes[..], &[0]].concat();
        let fault = record.open_as(&seal, &longer).err();
        assert_eq!(fault, Some(BadRecord::BrokenSeal));
    }
}

#[test]
fn a_body_under_another_session_is_refused() {
    for (cipher, _) in CIPHERS {
        let seal = sealing(cipher);
        for other in [session(8, 70), session(7, 71)] {
            let moved = Record {
                key: other,
                ..Record::of(&seal, &data("value"))
            };
            assert_eq!(moved.fault(&seal), Some(BadRecord::BrokenSeal));
        }
    }
}

#[test]
fn a_body_under_another_header_is_refused() {
    let changes: [fn(&mut Header); 6] = [
        |header| header.commit_id = CommitId::random(),
        |header| header.kind = RecordKind::Alias,
        |header| header.idle_timeout += Duration::from_millis(1),
        |header| header.handle = SessionHandle::random(),
        |header| header.user_tag += 1,
        |header| header.flags |= 0x80,
    ];
    for (cipher, _) in CIPHERS {
        let seal = sealing(cipher);
        for change in changes {
            let mut record = Record::of(&seal, &data("value"));
            change(&mut record.header);
            assert_eq!(record.fault(&seal), Some(BadRecord::BrokenSeal));
        }
    }
}

#[test]
fn a_frozen_copy_opens_as_what_it_was() {
    let seal = sealing(SealingCipher::default());
    let mut record = Record::of(&seal, &data("value"));
    record.header.kind = RecordKind::Frozen;
    assert_eq!(record.fault(&seal), None);
}

#[test]
fn what_the_store_sets_is_not_bound() {
    let seal = sealing(SealingCipher::default());
    let mut record = Record::of(&seal, &data("value"));
    record.header.created = crate::StoreTime::from_millis(5);
    record.header.absolute_end = crate::StoreTime::from_millis(9);
    record.header.revision = crate::Revision(4);
    record.header.digest = Digest::default();
    // Redis keeps whole milliseconds.
    record.header.idle_timeout += Duration::from_nanos(999_999);
    assert!(record.open(&seal).is_ok());
}

#[test]
fn the_first_key_seals_and_all_open() {
    let record = Record::of(&Seal::with(SealingKeys::new(&key(1))), &data("value"));
    let keys = || SealingKeys::new(&key(2)).opening(&key(3)).opening(&key(1));
    let opened = record.open(&Seal::with(keys())).unwrap();
    assert_eq!(text(&opened).as_deref(), Some("value"));
    assert!(opened.outdated);
    assert!(
        !record
            .open(&Seal::with(keys().open_only()))
            .unwrap()
            .outdated
    );

    let anew = Record::of(&Seal::with(keys()), &opened.data);
    assert!(!anew.open(&Seal::with(keys())).unwrap().outdated);
    assert!(anew.open(&Seal::with(SealingKeys::new(&key(2)))).is_ok());
    let id = key(2).id();
    let without = Seal::with(SealingKeys::new(&key(1)));
    assert_eq!(
        anew.fault(&without),
        Some(BadRecord::UnknownSealingKey { id })
    );
}

#[test]
fn another_cipher_opens_and_is_outdated() {
    for ((old, _), (new, _)) in [(CIPHERS[0], CIPHERS[1]), (CIPHERS[1], CIPHERS[0])] {
        let record = Record::of(&sealing(old), &data("value"));
        assert!(record.open(&sealing(new)).unwrap().outdated);
    }
}

#[test]
fn a_key_that_borrows_the_name_of_another_opens_nothing() {
    for (cipher, _) in CIPHERS {
        let foreign = Seal::with(SealingKeys::new(&key(2)).cipher(cipher));
        let mut record = Record::of(&foreign, &data("planted"));
        let mut body = record.body.to_vec();
        body[1..9].copy_from_slice(key(1).id().as_bytes());
        record.body = body.into();
        assert_eq!(record.fault(&sealing(cipher)), Some(BadRecord::BrokenSeal));
    }
}

#[test]
fn sealed_and_unsealed_records_are_told_apart_in_every_mode() {
    let (none, keys) = (Seal::default(), || SealingKeys::new(&key(1)));
    let (required, accepting) = (Seal::with(keys()), Seal::with(keys().accept_unsealed()));
    let open_only = Seal::with(keys().open_only());
    let sealed = Record::of(&required, &data("value"));
    assert!(Record::of(&accepting, &data("value")).header.is_sealed());
    for unsealed in [&none, &open_only].map(|seal| Record::of(seal, &data("value"))) {
        assert!(!unsealed.header.is_sealed());
        assert_eq!(unsealed.body, data("value").encode());
        assert_eq!(unsealed.fault(&required), Some(BadRecord::Unsealed));
        assert!(unsealed.open(&accepting).unwrap().outdated);
        assert!(!unsealed.open(&open_only).unwrap().outdated);
        assert!(!unsealed.open(&none).unwrap().outdated);
    }
    assert_eq!(sealed.fault(&none), Some(BadRecord::Sealed));
    for seal in [&required, &accepting, &open_only] {
        assert!(!sealed.open(seal).unwrap().outdated);
    }
}

#[test]
fn records_move_to_the_chosen_codec_sealed_or_not() {
    let ways = [Seal::default(), sealing(SealingCipher::default())];
    for seal in ways {
        let json = seal.clone().in_codec(Codec::Json);
        for (old, new) in [(&seal, &json), (&json, &seal)] {
            let mut data = SessionData::new(old.codec(), LIMIT);
            data.insert("text", "value").unwrap();
            let record = Record::of(old, &data);
            assert_eq!(record.header.codec(), old.codec());
            assert!(!record.open(old).unwrap().outdated);
            let opened = record.open(new).unwrap();
            assert!(opened.outdated);
            assert_eq!(text(&opened).as_deref(), Some("value"));
            let anew = Record::of(new, &opened.data);
            assert_eq!(anew.header.codec(), new.codec());
            assert!(!anew.open(new).unwrap().outdated);
            assert_eq!(text(&anew.open(old).unwrap()).as_deref(), Some("value"));
        }
    }
}

#[test]
fn a_record_that_the_chosen_codec_cannot_hold_stays_in_its_own() {
    let (seal, json) = (Seal::default(), Seal::default().in_codec(Codec::Json));
    let mut data = data("value");
    data.insert_raw("bytes", &b"\xc4\x01a"[..]).unwrap();
    let opened = Record::of(&seal, &data).open(&json).unwrap();
    assert!(!opened.outdated);
    let stays = Record::of(&json, &opened.data);
    assert_eq!(stays.header.codec(), Codec::MessagePack);
    let mut data = Arc::unwrap_or_clone(opened.data);
    data.remove("bytes");
    assert!(Record::of(&json, &data).open(&json).unwrap().outdated);
}

#[test]
fn a_codec_that_lies_is_found_out() {
    let keys = SealingKeys::new(&key(1));
    for (cipher, _) in CIPHERS {
        let seal = Seal::with(keys.clone().cipher(cipher));
        let mut sealed = Record::of(&seal, &data("value"));
        sealed.header.set_codec(Codec::Json);
        assert_eq!(sealed.fault(&seal), Some(BadRecord::BrokenSeal));
    }
    let mut plain = Record::of(&Seal::default(), &data("value"));
    plain.header.set_codec(Codec::Json);
    let fault = plain.fault(&Seal::default());
    assert_eq!(fault, Some(body_fault(BadBody::NotJson)));
}

#[test]
fn a_flag_that_lies_is_found_out() {
    let keys = SealingKeys::new(&key(1)).accept_unsealed();
    for (cipher, _) in CIPHERS {
        let seal = Seal::with(keys.clone().cipher(cipher));
        let mut sealed = Record::of(&seal, &data("value"));
        sealed.header.set_sealed(false);
        let not_a_map = body_fault(BadBody::NotAMap);
        assert_eq!(sealed.fault(&seal), Some(not_a_map));
        assert_eq!(sealed.fault(&Seal::default()), Some(not_a_map));
    }
    let seal = Seal::with(keys);
    let mut plain = Record::of(&Seal::default(), &data("value"));
    plain.header.set_sealed(true);
    assert_eq!(
        plain.fault(&seal),
        Some(BadRecord::UnknownCipher { cipher: 0x81 })
    );
}

#[test]
fn the_limit_of_a_record_holds_for_what_is_in_it() {
    let record_of = |len| {
        let seal = sealing(SealingCipher::default());
        (Record::of(&seal, &data(&"x".repeat(len))), seal)
    };
    let (record, seal) = record_of(100);
    let size = data(&"x".repeat(100)).encode().len();
    let open = |limit| seal.open(&record.key, &record.header, &record.body, limit);
    assert!(open(size).is_ok());
    let limit = size - 1;
    assert_eq!(
        open(limit).err(),
        Some(body_fault(BadBody::TooLarge { size, limit }))
    );
    // Before any work is put into it: nobody needs a key to make it large.
    let mut large = record.body.to_vec();
    large[40] ^= 1;
    let opened = seal.open(&record.key, &record.header, &large.into(), limit);
    assert_eq!(
        opened.err(),
        Some(body_fault(BadBody::TooLarge { size, limit }))
    );
}

#[test]
fn what_is_sealed_is_checked_as_what_is_not() {
    let (seal, mut deep) = (sealing(SealingCipher::default()), vec![0x81, 0xa1, b'a']);
    deep.extend([0x91; 1_000]);
    let record = Record::of(&seal, &data("value"));
    let keys = SealingKeys::new(&key(1));
    for (text, fault) in [
        (deep, BadBody::TooDeep),
        (vec![0x80, 0], BadBody::TrailingBytes),
        (vec![0xc1], BadBody::NotAMap),
    ] {
        let place = Place::of(&record.key, &record.header);
        let body = keys.close(&place, text.len(), |out| out.extend_from_slice(&text));
        let opened = seal.open(&record.key, &record.header, &body, LIMIT);
        assert_eq!(opened.err(), Some(body_fault(fault)));
    }
}

#[test]
fn keys_are_32_bytes_in_any_base64() -> Result<(), ConfigError> {
    let secret: Vec<u8> = (0..32).map(|byte| byte * 8 + 3).collect();
    let id = SealingKey::from_bytes(&secret)?.id();
    let exposed = SealingKey::from_bytes(&secret)?.expose_base64();
    assert!(
        exposed.contains('+') && exposed.ends_with('='),
        "{}",
        *exposed
    );
    let url_safe = exposed.replace('+', "-").replace('/', "_");
    for text in [
        exposed.as_str(),
        exposed.trim_end_matches('='),
        &url_safe,
        url_safe.trim_end_matches('='),
        &format!(" {}\n", *exposed),
    ] {
        assert_eq!(SealingKey::from_base64(text)?.id(), id);
    }
    assert_ne!(SealingKey::generate().id(), SealingKey::generate().id());
    Ok(())
}

#[test]
fn what_is_no_key_is_refused_and_not_shown() {
    let long = "A".repeat(64);
    for text in ["", "s3cret", "!!s3cret!!", "s3cret/_s3cret", &long] {
        let error = SealingKey::from_base64(text).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("sealing key") && shown.contains("32 bytes"));
        assert!(
            !shown.contains("s3cret") && !shown.contains("AAAA"),
            "{shown}"
        );
    }
    for len in [0, 16, 31, 33] {
        assert!(SealingKey::from_bytes(&vec![1; len]).is_err());
    }
}

#[test]
fn debug_output_shows_no_key() {
    let key = SealingKey::generate();
    let keys = SealingKeys::new(&key).opening(&SealingKey::generate());
    let shown = format!("{key:?} {keys:?} {keys:#?} {:?}", Seal::with(keys.clone()));
    assert!(shown.contains(&key.id().to_string()), "{shown}");
    let exposed = key.expose_base64();
    let secret = STANDARD.decode(&*exposed).unwrap();
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    for secret in [
        &exposed[..8],
        &hex[..8],
        &hex[56..],
        &format!("{:?}", &secret[..3]),
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn keys_are_erased_when_they_are_dropped() {
    fn erased<T: ZeroizeOnDrop>() {}
    erased::<chacha20poly1305::XChaCha20Poly1305>();
    erased::<aes_gcm::Aes256Gcm>();
    erased::<Sha256>();
    erased::<zeroize::Zeroizing<[u8; 32]>>();
}

/// The code is from another implementation of HMAC-SHA-256, from the description of the format alone.
#[test]
fn what_a_client_carries_signed_can_be_read_and_not_be_changed() {
    let secret: Vec<u8> = (0..32).collect();
    let keys = SealingKeys::new(&SealingKey::from_bytes(&secret).unwrap());
    let signed = keys.sign_carried("session", b"an ID");
    let expected = "0357869a5df5d37a24616e204944eb7d45de6b28a895ba8c148b808d47df\
        80ccb4f20fde9269095c877e6d3cb224";
    assert_eq!(signed, hex(expected));
    let opened = keys.verify_carried("session", &signed).unwrap();
    assert_eq!((&*opened.text, opened.outdated), (&b"an ID"[..], false));
    for at in 0..signed.len() {
        let mut changed = signed.to_vec();
        changed[at] ^= 1;
        assert!(keys.verify_carried("session", &changed.into()).is_err());
        let cut_off = keys.verify_carried("session", &signed.slice(..at));
        assert!(cut_off.is_err(), "{at}");
        assert!(
            keys.verify_carried("session", &signed.slice(at + 1..))
                .is_err()
        );
    }
    let longer = [&*signed, b"x"].concat().into();
    assert!(keys.verify_carried("session", &longer).is_err());
    let elsewhere = keys.verify_carried("another", &signed);
    assert_eq!(elsewhere.err(), Some(BadRecord::BrokenSeal));
}

#[test]
fn signatures_of_older_keys_pass_until_they_are_retired() {
    let (old, new) = (SealingKeys::new(&key(1)), SealingKeys::new(&key(2)));
    let signed = old.sign_carried("session", b"an ID");
    let during = new.clone().opening(&key(1));
    assert!(during.verify_carried("session", &signed).unwrap().outdated);
    let retired = new.verify_carried("session", &signed).err();
    let id = key(1).id();
    assert_eq!(retired, Some(BadRecord::UnknownSealingKey { id }));
}

#[test]
fn signatures_are_no_seals_and_seals_no_signatures() {
    let keys = SealingKeys::new(&key(1));
    let signed = keys.sign_carried("session", b"an ID");
    assert!(keys.open_carried("session", &signed).is_err());
    for (cipher, _) in CIPHERS {
        let keys = keys.clone().cipher(cipher);
        let sealed = keys.seal_carried("session", b"an ID");
        assert!(keys.verify_carried("session", &sealed).is_err());
    }
}

proptest! {
    #[test]
    fn any_byte_that_is_changed_is_refused(value in ".{0,200}", at: prop::sample::Index, change in 1_u8.., aes: bool) {
        let seal = sealing(CIPHERS[usize::from(aes)].0);
        let record = Record::of(&seal, &data(&value));
        let mut bytes = record.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        // Freezing is up to the store.
        prop_assume!(at != IDENTITY.start + 3 || bytes[at] != RecordKind::Frozen.as_byte());
        let opened = record.open_as(&seal, &bytes);
        prop_assert_eq!(opened.is_ok(), is_set_by_the_store(at, record.head_len()));
    }

    #[test]
    fn any_values_survive_a_seal(values in proptest::collection::btree_map("[^\\x00]{0,20}", any::<(i32, String)>(), 0..20), aes: bool) {
        let seal = sealing(CIPHERS[usize::from(aes)].0);
        let mut data = SessionData::new(Codec::MessagePack, LIMIT);
        for (key, value) in &values {
            data.insert(key, value).unwrap();
        }
        let opened = Record::of(&seal, &data).open(&seal).unwrap();
        prop_assert_eq!(opened.data.encode(), data.encode());
    }

    #[test]
    fn swapped_records_are_refused(mine in ".{0,50}", others in ".{0,50}", aes: bool) {
        let seal = sealing(CIPHERS[usize::from(aes)].0);
        let (mine, others) = (Record::of(&seal, &data(&mine)), Record::of(&seal, &data(&others)));
        let body_only = Record { body: others.body.clone(), header: mine.header.clone(), key: mine.key };
        prop_assert_eq!(body_only.fault(&seal), Some(BadRecord::BrokenSeal));
        let whole = Record { key: session(9, 70), ..others };
        prop_assert_eq!(whole.fault(&seal), Some(BadRecord::BrokenSeal));
    }

    #[test]
    fn arbitrary_bodies_are_refused(mut body in proptest::collection::vec(any::<u8>(), 0..200), named: bool, aes: bool) {
        let seal = sealing(SealingCipher::default());
        if named && body.len() > 9 {
            body[0] = 1 + u8::from(aes);
            body[1..9].copy_from_slice(key(1).id().as_bytes());
        }
        let record = Record { body: body.into(), ..Record::of(&seal, &data("value")) };
        prop_assert!(record.open(&seal).is_err());
    }
}

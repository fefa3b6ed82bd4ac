//! Seals and opens tokens, bodies and events; the only room that sees key bytes.
//!
//! A sealed value is a head with the key's id ([`key_head`]), then `nonce ‖ ciphertext`, by
//! AES-256-GCM-SIV, which stays safe if a nonce should ever repeat. The associated data is what
//! the value is and where it belongs ([`Context`]), so a sealed value that is copied to another
//! row does not open there.
//!
//! The ring's keys ([`KeyRing`]) come from the settings. What is about callers is sealed by a data key
//! of its account ([`DataKey`]), which is itself a value that the ring sealed: it can be destroyed, and
//! all that it sealed with it.

mod context;

use std::collections::HashMap;
use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

pub use self::context::Context;
use crate::domain::fault::Fault;
use crate::domain::ids::{AccountId, AuthorizationId, InvitationId, KeyId};
use crate::domain::key_head;
use crate::domain::private::masked;

/// One key of the ring.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Names the key in every value that it seals: 1 to 32 of `A-Z a-z 0-9 - _ .`
    pub id: String,
    /// 32 random bytes in base64: `openssl rand -base64 32`.
    #[serde(serialize_with = "masked")]
    pub key: SecretString,
}

/// Settings of the key ring.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The id of the key that seals; the others only open.
    pub primary: String,
    /// Every key that may be needed to open a value.
    pub keys: Vec<Key>,
}

impl Key {
    /// A key of random bytes, under an id of its own.
    pub fn random(id: String) -> Self {
        Self {
            id,
            key: STANDARD.encode(random_bytes()).into(),
        }
    }
}

impl Config {
    /// Collects what is wrong with these settings.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        if self.keys.is_empty() {
            let advice = "write at least one key: { id = \"2026-11\", key = \"…\" }, the key made by `openssl rand -base64 32`";
            faults.push(Fault::new("crypto.keys", advice));
            return;
        }
        for (n, key) in self.keys.iter().enumerate() {
            if key.id.parse::<KeyId>().is_err() {
                let advice = "write 1 to 32 letters, digits, '-', '_' or '.'";
                faults.push(Fault::new(format!("crypto.keys[{n}].id"), advice));
            }
            if self.keys[..n].iter().any(|other| other.id == key.id) {
                let advice = "give each key its own id; never use an id again for other bytes";
                faults.push(Fault::new(format!("crypto.keys[{n}].id"), advice));
            }
            if key_bytes(key).is_none() {
                let advice = "write 32 bytes in base64, made by `openssl rand -base64 32`";
                faults.push(Fault::new(format!("crypto.keys[{n}].key"), advice));
            }
        }
        if !self.keys.iter().any(|key| key.id == self.primary) {
            let advice = "write the id of the key in crypto.keys that shall seal";
            faults.push(Fault::new("crypto.primary", advice));
        }
    }
}

/// The bytes of a key, if there are 32.
fn key_bytes(key: &Key) -> Option<[u8; 32]> {
    STANDARD
        .decode(key.key.expose_secret().trim())
        .ok()?
        .try_into()
        .ok()
}

/// Why a value cannot be opened, or a ring not built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The key that sealed it is not in the ring.
    #[error(
        "the key `{id}` is not in crypto.keys: put it back, values sealed by it cannot be read without it"
    )]
    UnknownKey {
        /// The key's id, as the value says.
        id: KeyId,
    },
    /// It was changed, cut, copied from another place, or sealed by other bytes of that id.
    #[error("a sealed value does not open: it was changed, or it belongs to another row")]
    Tampered,
    /// The settings hold no usable primary key.
    #[error("crypto.primary names no usable key of crypto.keys")]
    NoPrimary,
}

/// What the `state` of an authorization is stored as, which itself only the browser and Salesforce
/// hold.
pub fn authorization_id(state: &SecretString) -> AuthorizationId {
    let hash = sha256(state.expose_secret().as_bytes());
    let id = URL_SAFE_NO_PAD.encode(hash);
    id.parse().expect("43 characters of base64url")
}

/// What the secret of an invitation is stored as.
pub fn invitation_id(secret: &SecretString) -> InvitationId {
    let hash = sha256(secret.expose_secret().as_bytes());
    let id = URL_SAFE_NO_PAD.encode(hash);
    id.parse().expect("43 characters of base64url")
}

/// A key, ready for use.
struct Cipher {
    /// What stands in each value that it seals.
    id: KeyId,
    /// Its bytes.
    key: LessSafeKey,
}

impl Cipher {
    /// A key of these bytes.
    fn new(id: KeyId, bytes: &[u8; 32]) -> Self {
        let unbound = UnboundKey::new(&AES_256_GCM_SIV, bytes).expect("the cipher's keys have 32");
        Self {
            id,
            key: LessSafeKey::new(unbound),
        }
    }

    /// Seals a value in its place.
    fn seal(&self, context: &Context, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).expect("the operating system gives random bytes");
        let mut sealed = key_head::of(&self.id);
        sealed.reserve(NONCE_LEN + plain.len() + 16);
        sealed.extend(nonce);
        let mut body = plain.to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.associated_data()),
                &mut body,
            )
            .expect("a body is far below the cipher's limit of 64 GiB");
        sealed.extend(body);
        sealed
    }

    /// Opens a value in its place, without its head.
    fn open(&self, context: &Context, rest: &[u8]) -> Result<Vec<u8>, Error> {
        let (nonce, body) = rest
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(Error::Tampered)?;
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self
            .key
            .open_in_place(nonce, Aad::from(context.associated_data()), &mut body)
            .map_err(|_| Error::Tampered)?
            .len();
        body.truncate(plain);
        Ok(body)
    }
}

/// The keys of the settings, ready for use. One seals; all open.
pub struct KeyRing {
    /// The id of the key that seals.
    primary: KeyId,
    /// Every key by its id.
    keys: HashMap<KeyId, Cipher>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "KeyRing({} keys, primary {})",
            self.keys.len(),
            self.primary
        )
    }
}

impl KeyRing {
    /// The ring of validated settings.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let primary: KeyId = config.primary.parse().map_err(|_| Error::NoPrimary)?;
        let keys: HashMap<KeyId, Cipher> = config
            .keys
            .iter()
            .filter_map(|key| {
                let id: KeyId = key.id.parse().ok()?;
                Some((id.clone(), Cipher::new(id, &key_bytes(key)?)))
            })
            .collect();
        if !keys.contains_key(&primary) {
            return Err(Error::NoPrimary);
        }
        Ok(Self { primary, keys })
    }

    /// How every value begins that the primary key sealed, and no other.
    pub fn primary_head(&self) -> Vec<u8> {
        key_head::of(&self.primary)
    }

    /// Seals a value in its place, by the primary key.
    pub fn seal(&self, context: &Context, plain: &[u8]) -> Vec<u8> {
        self.keys[&self.primary].seal(context, plain)
    }

    /// Opens a value in its place.
    pub fn open(&self, context: &Context, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let (id, rest) = key_head::split(sealed).ok_or(Error::Tampered)?;
        let key = self.keys.get(&id).ok_or(Error::UnknownKey { id })?;
        key.open(context, rest)
    }

    /// A data key of random bytes and a random id for an account; and itself, sealed by the primary
    /// key, as it may be stored.
    pub fn make_data_key(&self, account: &AccountId) -> (DataKey, Vec<u8>) {
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id).expect("the operating system gives random bytes");
        let id: KeyId = URL_SAFE_NO_PAD
            .encode(id)
            .parse()
            .expect("22 characters of base64url");
        let bytes = random_bytes();
        let context = Context::AccountKey {
            account: account.clone(),
            id: id.clone(),
        };
        let sealed = self.seal(&context, &bytes);
        (DataKey(Cipher::new(id, &bytes)), sealed)
    }

    /// Opens the data key of an account.
    pub fn open_data_key(
        &self,
        account: &AccountId,
        id: &KeyId,
        sealed: &[u8],
    ) -> Result<DataKey, Error> {
        let context = Context::AccountKey {
            account: account.clone(),
            id: id.clone(),
        };
        let bytes = self.open(&context, sealed)?;
        let bytes = bytes.try_into().map_err(|_| Error::Tampered)?;
        Ok(DataKey(Cipher::new(id.clone(), &bytes)))
    }
}

/// The data key of an account, opened.
pub struct DataKey(Cipher);

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.0.id)
    }
}

impl DataKey {
    /// What stands in each value that it seals.
    pub const fn id(&self) -> &KeyId {
        &self.0.id
    }

    /// Seals a value in its place.
    pub fn seal(&self, context: &Context, plain: &[u8]) -> Vec<u8> {
        self.0.seal(context, plain)
    }

    /// Opens a value in its place.
    pub fn open(&self, context: &Context, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        match key_head::split(sealed) {
            Some((id, rest)) if id == self.0.id => self.0.open(context, rest),
            _ => Err(Error::Tampered),
        }
    }
}

/// Bytes that nobody can guess.
pub fn random_bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A text that nobody can guess: 32 random bytes in base64url.
pub fn random_text() -> String {
    URL_SAFE_NO_PAD.encode(random_bytes())
}

/// SHA-256 of bytes: what is kept of a secret that comes from outside.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, bytes);
    hash.as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

/// HMAC-SHA256 of parts, one behind the other.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let tag = context.sign();
    tag.as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

/// Whether two secrets are the same; how long it takes tells nothing about where they differ.
pub fn same(one: &str, other: &str) -> bool {
    verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::ids::{Generation, TokenSequence};

    fn config(ids: &[&str], primary: &str) -> Config {
        let keys = ids.iter().enumerate().map(|(n, id)| Key {
            id: (*id).to_owned(),
            key: STANDARD
                .encode([u8::try_from(n).expect("few keys"); 32])
                .into(),
        });
        Config {
            primary: primary.to_owned(),
            keys: keys.collect(),
        }
    }

    fn ring(ids: &[&str], primary: &str) -> KeyRing {
        KeyRing::new(&config(ids, primary)).expect("a primary key")
    }

    fn tokens(account: &str, generation: i64, sequence: i64) -> Context {
        Context::Tokens {
            account: account.parse().expect("an account"),
            generation: Generation(generation),
            token_sequence: TokenSequence(sequence),
        }
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_in_its_place_only(plain: Vec<u8>) {
            let ring = ring(&["a"], "a");
            let sealed = ring.seal(&tokens("acme", 1, 1), &plain);
            prop_assert_eq!(ring.open(&tokens("acme", 1, 1), &sealed), Ok(plain));
            for elsewhere in [tokens("acm", 1, 1), tokens("acme", 2, 1), tokens("acme", 1, 2)] {
                prop_assert_eq!(ring.open(&elsewhere, &sealed), Err(Error::Tampered));
            }
        }

        #[test]
        fn a_changed_bit_is_seen(plain: Vec<u8>, place: prop::sample::Index, bit in 0..8_u8) {
            let ring = ring(&["a"], "a");
            let mut sealed = ring.seal(&tokens("acme", 1, 1), &plain);
            let place = place.index(sealed.len());
            sealed[place] ^= 1 << bit;
            prop_assert!(ring.open(&tokens("acme", 1, 1), &sealed).is_err());
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes: Vec<u8>) {
            prop_assert!(ring(&["a"], "a").open(&tokens("acme", 1, 1), &bytes).is_err());
        }
    }

    #[test]
    fn an_old_key_still_opens_and_a_missing_one_is_named() {
        let context = tokens("acme", 1, 1);
        let sealed = ring(&["old"], "old").seal(&context, b"secret");
        let both = KeyRing::new(&config(&["old", "new"], "new")).expect("a primary key");
        assert_eq!(both.open(&context, &sealed), Ok(b"secret".to_vec()));
        let missing = ring(&["new"], "new").open(&context, &sealed);
        let old: KeyId = "old".parse().expect("an id");
        assert_eq!(missing, Err(Error::UnknownKey { id: old.clone() }));
        let named = |bytes| key_head::split(bytes).map(|(id, _)| id);
        assert_eq!(named(&sealed), Some(old.clone()));
        assert_eq!(named(&sealed[..5]), Some(old));
        assert_eq!(named(b"old"), None);
        assert!(!sealed.starts_with(&both.primary_head()));
        assert!(both.seal(&context, b"").starts_with(&both.primary_head()));
    }

    #[test]
    fn a_data_key_opens_for_its_account_alone_and_a_missing_key_of_the_ring_is_named() {
        let old = ring(&["old"], "old");
        let [acme, other] = ["acme", "other"].map(|a| a.parse::<AccountId>().expect("an account"));
        let (key, stored) = old.make_data_key(&acme);
        let context = tokens("acme", 1, 1);
        let sealed = key.seal(&context, b"secret");
        let again = old.open_data_key(&acme, key.id(), &stored).expect("opens");
        assert_eq!(again.open(&context, &sealed), Ok(b"secret".to_vec()));

        let (second, _) = old.make_data_key(&acme);
        assert_ne!(second.id(), key.id());
        assert_eq!(second.open(&context, &sealed), Err(Error::Tampered));
        for (account, id) in [(&other, key.id()), (&acme, second.id())] {
            let moved = old.open_data_key(account, id, &stored);
            assert_eq!(moved.err(), Some(Error::Tampered));
        }
        let missing = ring(&["new"], "new").open_data_key(&acme, key.id(), &stored);
        let id = "old".parse().expect("an id");
        assert_eq!(missing.err(), Some(Error::UnknownKey { id }));
    }

    #[test]
    fn every_fault_of_the_ring_is_told() {
        let mut faults = Vec::new();
        let mut wrong = config(&["a", "a", "b c"], "z");
        wrong.keys[0].key = "short".to_owned().into();
        wrong.validate(&mut faults);
        let settings: Vec<&str> = faults.iter().map(|f| f.setting.as_str()).collect();
        let expected = [
            "crypto.keys[0].key",
            "crypto.keys[1].id",
            "crypto.keys[2].id",
            "crypto.primary",
        ];
        assert_eq!(settings, expected);
    }

    #[test]
    fn debug_shows_no_key() {
        let config = config(&["a"], "a");
        let encoded = config.keys[0].key.expose_secret().to_owned();
        assert!(!format!("{config:?}").contains(&encoded));
        let ring = KeyRing::new(&config).expect("a primary key");
        let (key, _) = ring.make_data_key(&"acme".parse().expect("an account"));
        assert_eq!(format!("{key:?}"), format!("DataKey({})", key.id()));
    }
}

//! The keys that the portal publishes: which signatures are taken, and how often they are asked for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use vcc_link::http::sidecar::Config;

use super::world::World;

/// A key of the portal's.
struct Key {
    kid: &'static str,
    algorithm: Algorithm,
    secret: EncodingKey,
}

impl Key {
    fn es256(kid: &'static str) -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        Self {
            kid,
            algorithm: Algorithm::ES256,
            secret: EncodingKey::from_ec_der(&key.serialize_der()),
        }
    }

    fn rs256(kid: &'static str) -> Self {
        let key = KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let pkcs8: Pkcs8V1Der<'_> = key.as_der().expect("a key in DER");
        // What PKCS #8 wraps in 26 bytes is the key by PKCS #1, which is wanted here.
        Self {
            kid,
            algorithm: Algorithm::RS256,
            secret: EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..]),
        }
    }

    /// As it is published.
    fn public(&self) -> Value {
        let mut key = Jwk::from_encoding_key(&self.secret, self.algorithm).expect("a public key");
        key.common.key_id = Some(self.kid.to_owned());
        serde_json::to_value(&key).expect("JSON")
    }

    /// Signs a good token, which names this key.
    fn sign(&self, jti: &str) -> String {
        signed(self.algorithm, self.kid, &self.secret, jti)
    }
}

/// A good token, signed so.
fn signed(algorithm: Algorithm, kid: &str, key: &EncodingKey, jti: &str) -> String {
    let claims = json!({
        "iss": "https://portal.example", "aud": ["vcc-link"], "sub": "ann", "jti": jti,
        "exp": vcc_link::clock::now().timestamp() + 60, "account": "acme", "role": "admin",
    });
    let mut header = Header::new(algorithm);
    header.kid = Some(kid.to_owned());
    jsonwebtoken::encode(&header, &claims, key).expect("signed")
}

/// A portal that publishes its keys.
struct Portal {
    url: String,
    /// What it publishes; `None`: it is away.
    keys: Arc<Mutex<Option<Value>>>,
    asked: Arc<AtomicUsize>,
}

impl Portal {
    async fn start(tasks: &TaskTracker, keys: &[&Key]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let portal = Self {
            url: format!("http://{}/keys", listener.local_addr().expect("an address")),
            keys: Arc::default(),
            asked: Arc::default(),
        };
        portal.publish(keys);
        let (keys, asked) = (Arc::clone(&portal.keys), Arc::clone(&portal.asked));
        let answer = move || {
            asked.fetch_add(1, Ordering::Relaxed);
            let keys = keys.lock().expect("not poisoned").clone();
            let keys = keys.map(axum::Json);
            std::future::ready(keys.ok_or(axum::http::StatusCode::SERVICE_UNAVAILABLE))
        };
        let router = axum::Router::new().route("/keys", axum::routing::get(answer));
        tasks.spawn(async move { axum::serve(listener, router).await });
        portal
    }

    fn publish(&self, keys: &[&Key]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.public()).collect();
        *self.keys.lock().expect("not poisoned") = Some(json!({ "keys": keys }));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// A world that takes its signatures, and asks again for unknown keys that soon.
    async fn world(&self, again: Duration) -> World {
        let settings = |config: Config| {
            let mut config = config;
            config.portal.jwks_url.clone_from(&self.url);
            config.portal.keys_again = again;
            config.portal.shared_key = String::new().into();
            config
        };
        World::with(settings, None).await
    }
}

/// The status of entering with a token.
async fn status(world: &World, token: &str) -> u16 {
    world.enter(token).await.status().as_u16()
}

#[tokio::test]
async fn a_published_key_signs_by_its_own_algorithm_and_no_other() {
    let tasks = TaskTracker::new();
    let keys = [Key::es256("curve"), Key::rs256("rsa")];
    let portal = Portal::start(&tasks, &[&keys[0], &keys[1]]).await;
    let world = portal.world(Duration::from_hours(1)).await;
    for key in &keys {
        assert_eq!(status(&world, &key.sign(key.kid)).await, 303, "{}", key.kid);
        // The public key taken for a shared one, in each form that somebody could try.
        let public = key.public();
        let number = public["n"].as_str();
        let number = number.or_else(|| public["x"].as_str());
        for shared in [public.to_string(), number.expect("a number").to_owned()] {
            let shared = EncodingKey::from_secret(shared.as_bytes());
            let forged = signed(Algorithm::HS256, key.kid, &shared, "forged");
            assert_eq!(status(&world, &forged).await, 403);
        }
        // No signature, by a header that says so.
        let good = key.sign("unsigned");
        let claims = good.split('.').nth(1).expect("claims");
        for head in [
            "eyJhbGciOiJub25lIn0",
            good.split('.').next().expect("a head"),
        ] {
            let unsigned = format!("{head}.{claims}.");
            assert_eq!(status(&world, &unsigned).await, 403);
        }
    }
    let [curve, rsa] = &keys;
    let other = Key::rs256("rsa");
    for forged in [
        // Another key of the same name, the name of another key, and another algorithm of the same.
        other.sign("1"),
        signed(Algorithm::ES256, "rsa", &curve.secret, "2"),
        signed(Algorithm::RS256, "curve", &rsa.secret, "3"),
        signed(Algorithm::RS384, "rsa", &rsa.secret, "4"),
    ] {
        assert_eq!(status(&world, &forged).await, 403);
    }
    assert_eq!(status(&world, &rsa.sign("last")).await, 303);
    world.stop().await;
}

#[tokio::test]
async fn a_new_key_is_asked_for_and_one_that_is_gone_no_longer_signs() {
    let tasks = TaskTracker::new();
    let (old, new) = (Key::rs256("old"), Key::rs256("new"));
    let portal = Portal::start(&tasks, &[&old]).await;
    let world = portal.world(Duration::ZERO).await;
    assert_eq!(status(&world, &old.sign("1")).await, 303);
    portal.publish(&[&new]);
    assert_eq!(status(&world, &new.sign("2")).await, 303);
    assert_eq!(status(&world, &old.sign("3")).await, 403);
    // While its list is away, the keys that are known hold.
    *portal.keys.lock().expect("not poisoned") = None;
    assert_eq!(status(&world, &old.sign("4")).await, 403);
    assert_eq!(status(&world, &new.sign("5")).await, 303);
    world.stop().await;
}

#[tokio::test]
async fn who_makes_up_names_of_keys_does_not_make_us_ask() {
    let tasks = TaskTracker::new();
    let (known, unknown) = (Key::es256("known"), Key::es256("made-up"));
    let portal = Portal::start(&tasks, &[&known]).await;
    let world = portal.world(Duration::from_hours(1)).await;
    assert_eq!(status(&world, &known.sign("1")).await, 303);
    for _ in 0..50 {
        assert_eq!(status(&world, &unknown.sign("2")).await, 403);
    }
    assert_eq!(portal.asked(), 1);
    world.stop().await;

    // Nor while the list is away.
    let world = portal.world(Duration::from_hours(1)).await;
    *portal.keys.lock().expect("not poisoned") = None;
    for _ in 0..50 {
        assert_eq!(status(&world, &known.sign("3")).await, 403);
    }
    assert_eq!(portal.asked(), 2);
    world.stop().await;
}

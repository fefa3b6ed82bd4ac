//! Contacts are told: by a mail server and a receiver of webhooks that are real, two sidecars, and a
//! database.

mod receivers;

use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use futures::FutureExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use vcc_link::clock;
use vcc_link::crypto::{Config as Keys, Key};
use vcc_link::domain::link::{Actor, Health, LinkState, LinkStatus};
use vcc_link::domain::notice::{Channel, DeliveryFault};
use vcc_link::domain::preflight::{Check, Found, Point};
use vcc_link::notices::contacts::Change;
use vcc_link::notices::{Config, Contact, Error, Notices, Smtp, Teller, Tls};
use vcc_link::sealing::Sealer;
use vcc_link::store::contacts::NoticeState;
use vcc_link::store::links::{LinkWrite, ProfileRead};

use self::receivers::{Receiver, Server};
use crate::store::conformance::Harness;
use crate::store::conformance::fixture::{Fixture, account_id};
use crate::store::on_sqlite;

/// An account, two sidecars, and who they tell.
struct World {
    fixture: Fixture,
    notices: Notices,
    tellers: [Teller; 2],
    server: Server,
    receiver: Receiver,
}

impl World {
    async fn start(harness: &dyn Harness, change: impl FnOnce(Config) -> Config) -> Self {
        let (server, receiver) = (Server::start().await, Receiver::start().await);
        let config = change(Config {
            page_url: "https://portal.example/{account}/salesforce".to_owned(),
            trusted_hosts: vec![receiver.host()],
            smtp: Smtp {
                host: "127.0.0.1".to_owned(),
                port: server.port(),
                tls: Tls::None,
                from: "Contact centre <noreply@vcc.example>".to_owned(),
                ..Smtp::default()
            },
            ..Config::default()
        });
        let mut faults = Vec::new();
        config.validate(&mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        let keys = Keys {
            primary: "k".to_owned(),
            keys: vec![Key::random("k".to_owned())],
        };
        let sealer = Sealer::of(&keys).expect("keys");
        let teller = |store| Teller::new(store, sealer.clone(), config.clone()).expect("a teller");
        Self {
            tellers: [teller(harness.store()), teller(harness.other().await)],
            notices: Notices::new(harness.store(), sealer.clone(), config),
            fixture: Fixture::new(harness).await,
            server,
            receiver,
        }
    }

    async fn contacts(&self) -> Vec<Contact> {
        let book = self.notices.contacts(&account_id("acme")).await;
        book.expect("read").contacts
    }

    /// Adds a contact; gives the key of a webhook.
    async fn add(&self, channel: Channel, address: &str) -> Result<Option<SecretString>, Error> {
        let account = account_id("acme");
        let change = Change {
            seen: self.notices.contacts(&account).await?.version,
            account,
            actor: Actor::Admin("ann".to_owned()),
        };
        let added = self.notices.add(change, channel, address).await?;
        Ok(added.key)
    }

    async fn turns(&self, health: Health) {
        self.fixture
            .change("acme", LinkStatus::Linked, health)
            .await;
    }

    /// The org was asked whether its API user may create Tasks.
    async fn preflight(&self, link: &LinkState, found: Found) {
        let mut org = link.org.clone().expect("linked");
        org.preflight = vec![Check {
            point: Point::EditTasks,
            found,
        }];
        let read = ProfileRead {
            account: link.account.clone(),
            expected: link.sequence,
            generation: link.generation,
            fence: None,
            org,
            news: None,
            at: clock::now(),
        };
        let written = self.fixture.store.record_profile(&read).await;
        assert!(matches!(written, Ok(LinkWrite::Stored(_))), "{written:?}");
    }

    /// Both sidecars do what is to be done so long from now.
    async fn after(&self, minutes: i64) {
        let now = clock::now() + TimeDelta::minutes(minutes);
        let [here, there] = &self.tellers;
        let (here, there) = tokio::join!(here.step(now), there.step(now));
        here.and(there).expect("a step");
    }

    /// The subjects of the mails that came since this was asked last.
    fn subjects(&self) -> Vec<String> {
        let mails = self.server.mails();
        mails.iter().map(|mail| header(mail, "Subject")).collect()
    }
}

/// A header of a mail.
fn header(mail: &str, name: &str) -> String {
    let unfolded = mail.replace("\r\n ", " ");
    let value = unfolded
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.expect(name).to_owned()
}

const BROKEN: &str = "The Salesforce link of account acme does not work";
const RECOVERED: &str = "The Salesforce link of account acme works as it should again";

#[tokio::test(flavor = "multi_thread")]
async fn a_break_and_a_recovery_are_told_once_to_each_contact_by_two_sidecars() {
    on_sqlite(|harness| {
        async move {
            let world = World::start(&*harness, |config| config).await;
            world
                .add(Channel::Mail, "ops@acme.example")
                .await
                .expect("added");
            let key = world
                .add(Channel::Webhook, &world.receiver.url("/hook"))
                .await;
            let key = key.expect("added").expect("a key");
            world.fixture.link("acme").await;
            world.after(3).await;
            world.turns(Health::Broken).await;
            world.after(1).await;
            assert_eq!(world.subjects(), Vec::<String>::new(), "it may yet recover");
            world.after(3).await;
            world.after(4).await;
            let mails = world.server.mails();
            let [mail] = mails.as_slice() else {
                panic!("{mails:?}");
            };
            assert_eq!(header(mail, "Subject"), BROKEN);
            assert_eq!(header(mail, "To"), "ops@acme.example");
            assert_eq!(header(mail, "Auto-Submitted"), "auto-generated");
            assert!(
                mail.contains("https://portal.example/acme/salesforce"),
                "{mail}"
            );
            let hooks = world.receiver.hooks();
            let [hook] = hooks.as_slice() else {
                panic!("{} webhooks", hooks.len());
            };
            assert!(hook.is_signed_by(key.expose_secret()));
            assert!(!hook.is_signed_by("whsec_AAAA"));
            let said = hook.json();
            assert_eq!(
                (&said["type"], &said["data"]["account"]),
                (&"link.broken".into(), &"acme".into())
            );
            assert_eq!(said["data"]["waitingCalls"], 0);

            world.turns(Health::Healthy).await;
            world.after(5).await;
            assert_eq!(world.subjects(), [RECOVERED]);
            assert_eq!(world.receiver.hooks()[0].json()["type"], "link.recovered");
            let states = world
                .contacts()
                .await
                .into_iter()
                .map(|c| c.last.expect("told").state);
            assert!(states.into_iter().all(|state| state == NoticeState::Sent));
        }
        .boxed()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_preflight_newly_misses_is_told_by_name() {
    on_sqlite(|harness| {
        async move {
            let world = World::start(&*harness, |config| config).await;
            world
                .add(Channel::Mail, "ops@acme.example")
                .await
                .expect("added");
            let link = world.fixture.link("acme").await;
            world.after(3).await;
            world.preflight(&link, Found::Unknown).await;
            world.after(3).await;
            assert_eq!(world.subjects(), Vec::<String>::new(), "unknown is no news");
            world.preflight(&link, Found::No).await;
            world.after(3).await;
            let mails = world.server.mails();
            assert_eq!(mails.len(), 1, "{mails:?}");
            assert!(header(&mails[0], "Subject").ends_with("is missing in Salesforce"));
            assert!(mails[0].contains("- create Task"), "{}", mails[0]);
            world.preflight(&link, Found::Yes).await;
            world.after(3).await;
            assert_eq!(world.subjects(), [RECOVERED]);
        }
        .boxed()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_flaps_is_told_neither_at_each_turn_nor_more_than_so_often() {
    on_sqlite(|harness| {
        async move {
            let once = |config| Config {
                per_hour: 1,
                ..config
            };
            let world = World::start(&*harness, once).await;
            world
                .add(Channel::Mail, "ops@acme.example")
                .await
                .expect("added");
            world.fixture.link("acme").await;
            for health in [
                Health::Broken,
                Health::Healthy,
                Health::Broken,
                Health::Healthy,
            ] {
                world.turns(health).await;
                world.after(1).await;
            }
            world.after(3).await;
            assert_eq!(world.subjects(), Vec::<String>::new(), "no break stood");
            world.turns(Health::Broken).await;
            world.after(3).await;
            assert_eq!(world.subjects(), [BROKEN]);
            world.turns(Health::Healthy).await;
            world.after(6).await;
            assert_eq!(world.subjects(), Vec::<String>::new(), "enough for an hour");
            world.after(65).await;
            assert_eq!(world.subjects(), [RECOVERED]);
        }
        .boxed()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_arrive_is_sent_again_as_the_same_and_given_up_in_the_end() {
    on_sqlite(|harness| {
        async move {
            let world = World::start(&*harness, |config| config).await;
            for address in ["gone@acme.example", "later@acme.example"] {
                world.add(Channel::Mail, address).await.expect("added");
            }
            let redirect = world.receiver.url("/redirect");
            world.add(Channel::Webhook, &redirect).await.expect("added");
            let account = account_id("acme");
            for contact in world.contacts().await {
                world
                    .notices
                    .test(&account, &contact.id)
                    .await
                    .expect("a test");
                let again = world.notices.test(&account, &contact.id).await;
                assert!(matches!(again, Err(Error::TooSoon)), "{again:?}");
            }
            world.after(1).await;
            let last = async |n: usize| world.contacts().await[n].last.clone().expect("a notice");
            let refused = |code, for_good| Some(DeliveryFault::Refused { code, for_good });
            assert_eq!(
                (last(0).await.state, last(0).await.fault),
                (NoticeState::GivenUp, refused(550, true))
            );
            assert_eq!(
                (last(1).await.state, last(1).await.fault),
                (NoticeState::Waiting, refused(451, false))
            );
            assert_eq!(
                last(2).await.fault,
                refused(307, false),
                "nobody is followed"
            );
            assert_eq!(world.receiver.hooks().len(), 0);

            world.server.takes_later();
            world.after(5).await;
            assert_eq!(last(1).await.state, NoticeState::Sent);
            let ids = world.server.ids();
            assert_eq!(ids.len(), 1, "{ids:?}");
            world.after(60 * 25).await;
            assert_eq!(
                (last(2).await.state, last(2).await.fault),
                (NoticeState::GivenUp, refused(307, false))
            );
        }
        .boxed()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_can_be_told_becomes_a_contact() {
    on_sqlite(|harness| {
        async move {
            let no_mail = |config| Config {
                smtp: Smtp::default(),
                ..config
            };
            let world = World::start(&*harness, no_mail).await;
            let mail = world.add(Channel::Mail, "ops@acme.example").await;
            assert!(matches!(mail, Err(Error::NoMail)), "{mail:?}");
            for inside in [
                "https://169.254.169.254/latest",
                "https://[::1]/",
                "http://acme.example/",
            ] {
                let added = world.add(Channel::Webhook, inside).await;
                assert!(matches!(added, Err(Error::NoWebhookAddress)), "{inside}");
            }
            for n in 0..2 {
                let url = format!("https://hooks.acme.example/{n}?key=s3cret");
                world.add(Channel::Webhook, &url).await.expect("added");
                let again = world.add(Channel::Webhook, &url).await;
                assert!(matches!(again, Err(Error::Known)), "{again:?}");
            }
            let third = world
                .add(Channel::Webhook, "https://hooks.acme.example/2")
                .await;
            assert!(
                matches!(third, Err(Error::TooMany { most: 2 })),
                "{third:?}"
            );
            let contacts = world.contacts().await;
            assert_eq!(contacts[0].shown, "https://hooks.acme.example/…");
            assert!(!format!("{contacts:?}").contains("s3cret"));
        }
        .boxed()
    })
    .await;
}

/// A time that webhooks of now are near to.
fn is_near(seconds: i64) -> bool {
    let sent = DateTime::from_timestamp(seconds, 0).expect("a time");
    (sent - clock::now()).abs() < TimeDelta::from_std(Duration::from_hours(1)).expect("short")
}

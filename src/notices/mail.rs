//! Notices as mails.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls as Protection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::ExposeSecret as _;

use super::config::{Smtp, Tls};
use super::texts::Letter;
use crate::domain::ids::NoticeId;
use crate::domain::notice::DeliveryFault;

/// The longest address (RFC 5321, 4.5.3.1.3).
const LONGEST: usize = 254;

/// How long each step of a delivery may take, and how long all of it.
const STEP_WITHIN: Duration = Duration::from_secs(10);
const WHOLE_WITHIN: Duration = Duration::from_secs(30);

/// Sends mails.
pub(super) struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// Tells programs that answer mails to leave this one (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

impl Mailer {
    /// Sends by the server of valid settings; `None`: there is none.
    pub(super) fn new(config: &Smtp) -> Result<Option<Self>, smtp::Error> {
        let Some(from) = sender(&config.from).filter(|_| config.is_on()) else {
            return Ok(None);
        };
        let tls = || TlsParameters::new(config.host.clone());
        let protection = match config.tls {
            Tls::Implicit => Protection::Wrapper(tls()?),
            Tls::Starttls => Protection::Required(tls()?),
            Tls::None => Protection::None,
        };
        let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host);
        let mut builder = builder
            .port(config.port)
            .tls(protection)
            .timeout(Some(STEP_WITHIN))
            .hello_name(ClientId::Domain(from.email.domain().to_owned()));
        if !config.username.is_empty() {
            let password = config.password.expose_secret().to_owned();
            builder = builder.credentials(Credentials::new(config.username.clone(), password));
        }
        let transport = builder.build();
        Ok(Some(Self { transport, from }))
    }

    /// Sends a letter. Its Message-ID is the notice's, at each try.
    pub(super) async fn send(
        &self,
        to: &str,
        id: &NoticeId,
        letter: &Letter,
        at: DateTime<Utc>,
    ) -> Result<(), DeliveryFault> {
        let to = address(to).ok_or(DeliveryFault::Unreadable)?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(&letter.subject)
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .date(SystemTime::from(at))
            .header(AutoSubmitted)
            .multipart(MultiPart::alternative_plain_html(
                letter.plain(),
                letter.html(),
            ));
        let message = message.map_err(|_| DeliveryFault::Unreadable)?;
        match tokio::time::timeout(WHOLE_WITHIN, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(fault(&error)),
            Err(_) => Err(DeliveryFault::TimedOut),
        }
    }
}

/// Why a server did not take a mail.
fn fault(error: &smtp::Error) -> DeliveryFault {
    if let Some(code) = error.status() {
        let code = u16::from(code);
        // Of what is permanent, only 55x is about this mail; the rest may be our own settings.
        let for_good = (550..560).contains(&code);
        return DeliveryFault::Refused { code, for_good };
    }
    if error.is_timeout() {
        DeliveryFault::TimedOut
    } else {
        DeliveryFault::Unreachable
    }
}

/// A contact's address, if it is one as people have them: nothing that could end a header or a
/// command of SMTP, nor lead to a machine by its number.
pub(super) fn address(text: &str) -> Option<Address> {
    let plain = |b: u8| b.is_ascii_graphic() && !b"\"\\<>()[],;:".contains(&b);
    let usual = text.len() <= LONGEST && text.bytes().all(plain);
    text.parse().ok().filter(|_| usual)
}

/// Whom mails come from, with a name or without.
pub(super) fn sender(text: &str) -> Option<Mailbox> {
    let one_line = !text.contains(char::is_control);
    text.parse().ok().filter(|_| one_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_cannot_end_a_header() {
        for yes in ["ada@acme.example", "ada+links@acme.example", "a.b_c@x.co"] {
            assert!(address(yes).is_some(), "{yes}");
        }
        for no in [
            "",
            "ada",
            "ada@",
            "@acme.example",
            "ada@acme.example\r\nBcc: eve@evil.example",
            "ada@acme.example\nX: y",
            "ada@acme.example,eve@evil.example",
            "<ada@acme.example>",
            "\"ada eve\"@acme.example",
            "ada@[127.0.0.1]",
            "ada @acme.example",
            "ädä@acme.example",
        ] {
            assert!(address(no).is_none(), "{no:?}");
        }
    }
}

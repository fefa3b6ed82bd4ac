//! A user: their credentials, permissions, and where and when they may log in.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Map;

use super::{Id, remaining, take};

/// One user to add.
#[derive(Debug, Clone, Default)]
pub struct UserSeed {
    /// Their `005…` id; generated if absent.
    pub id: Option<Id>,
    /// A refresh token that the app already has for this user.
    pub refresh_token: Option<String>,
    /// A session that the user already has.
    pub access_token: Option<String>,
    /// Everything that can also be changed later.
    pub settings: UserSettings,
}

impl<'de> Deserialize<'de> for UserSeed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut rest = Map::deserialize(deserializer)?;
        Ok(Self {
            id: take(&mut rest, "id")?,
            refresh_token: take(&mut rest, "refresh_token")?,
            access_token: take(&mut rest, "access_token")?,
            settings: remaining(rest)?,
        })
    }
}

/// What can be changed about a user at any time.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent permissions, as an admin has them"
)]
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserSettings {
    /// Their login; made unique if empty.
    pub username: String,
    /// Their email address; the username if empty.
    pub email: String,
    /// First and last name.
    pub name: String,
    /// Their password.
    pub password: String,
    /// What has to stand behind the password where a program logs in with it; `null`: nothing, as
    /// from a trusted network.
    pub security_token: Option<String>,
    /// The code that the login page asks for after the password; `null`: it does not ask.
    pub mfa_code: Option<String>,
    /// Addresses from which the user may log in; empty: any.
    pub login_addresses: Vec<AddressRange>,
    /// Hours of the day in which the user may log in; `null`: any.
    pub login_hours: Option<LoginHours>,
    /// Whether the admin has approved the app for this user.
    pub app_approved: bool,
    /// The permission "Approve Uninstalled Connected Apps".
    pub approve_uninstalled_apps: bool,
    /// `IsActive`. A deactivated user owns nothing new and gets no token.
    pub active: bool,
    /// Frozen: the user cannot log in, and their tokens are dead.
    pub frozen: bool,
    /// The permission "API Only User".
    pub api_only: bool,
    /// The permission "API Enabled".
    pub api_enabled: bool,
    /// The permission "Edit Tasks": without it no Task is created or changed.
    pub edit_tasks: bool,
    /// The permission "View All Data": sharing hides nothing.
    pub view_all_data: bool,
    /// The permission "View Setup and Configuration".
    pub view_setup: bool,
    /// Fields that field-level security hides, such as `Task.CallDisposition`.
    pub hidden_fields: BTreeSet<String>,
    /// Objects that the user has no access to, such as `Lead`.
    pub hidden_objects: BTreeSet<String>,
    /// Fields that the user may read but not write, such as `Task.CallObject`.
    pub read_only_fields: BTreeSet<String>,
    /// Objects that the user may read but not write, such as `Contact`.
    pub read_only_objects: BTreeSet<String>,
}

impl Default for UserSettings {
    fn default() -> Self {
        Self {
            username: String::new(),
            email: String::new(),
            name: "Pat Person".to_owned(),
            password: "password".to_owned(),
            security_token: None,
            mfa_code: None,
            login_addresses: Vec::new(),
            login_hours: None,
            app_approved: false,
            approve_uninstalled_apps: false,
            active: true,
            frozen: false,
            api_only: false,
            api_enabled: true,
            edit_tasks: true,
            view_all_data: false,
            view_setup: false,
            hidden_fields: BTreeSet::new(),
            hidden_objects: BTreeSet::new(),
            read_only_fields: BTreeSet::new(),
            read_only_objects: BTreeSet::new(),
        }
    }
}

/// Addresses from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "(IpAddr, IpAddr)")]
pub struct AddressRange(IpAddr, IpAddr);

impl TryFrom<(IpAddr, IpAddr)> for AddressRange {
    type Error = &'static str;

    fn try_from((first, last): (IpAddr, IpAddr)) -> Result<Self, Self::Error> {
        if first.is_ipv4() == last.is_ipv4() && first <= last {
            Ok(Self(first, last))
        } else {
            Err("a range is the first and the last address, both IPv4 or both IPv6")
        }
    }
}

impl AddressRange {
    /// Whether an address lies in any of some ranges; no ranges hold everything.
    pub(crate) fn any_holds(ranges: &[Self], address: IpAddr) -> bool {
        ranges.is_empty()
            || ranges
                .iter()
                .any(|Self(first, last)| (first..=last).contains(&&address))
    }
}

/// Full hours of the day in UTC: from the first, before the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "(u32, u32)")]
pub struct LoginHours(u32, u32);

impl TryFrom<(u32, u32)> for LoginHours {
    type Error = &'static str;

    fn try_from((from, to): (u32, u32)) -> Result<Self, Self::Error> {
        if from <= to && to <= 24 {
            Ok(Self(from, to))
        } else {
            Err("login hours are two hours from 0 to 24, the earlier first")
        }
    }
}

impl LoginHours {
    /// Whether an hour of the day is one of them.
    pub(crate) fn hold(self, hour: u32) -> bool {
        (self.0..self.1).contains(&hour)
    }
}

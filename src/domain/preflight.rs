//! Preflight: whether an org and its API user are as the work needs them, point by point, with the
//! setting in Salesforce that mends each.

use serde::{Deserialize, Serialize};

use super::help;
use super::link::LinkedOrg;

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// It is as it should be.
    Yes,
    /// It is not.
    No,
    /// The API user may not ask, or the org does not tell.
    Unknown,
}

impl Found {
    /// As an answer tells it; `None`: it does not.
    pub fn of(answer: Option<bool>) -> Self {
        answer.map_or(Self::Unknown, Self::from)
    }
}

impl From<bool> for Found {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// What a check is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "about")]
pub enum Point {
    /// The API user may use the API.
    ApiEnabled,
    /// It may create Tasks.
    EditTasks,
    /// It may write a field of Task that calls fill.
    WriteField {
        /// Its API name.
        field: String,
    },
    /// It may search some object whose records are looked up, by its phone fields.
    SearchSome,
    /// It may search this one of them.
    SearchObject {
        /// Its API name.
        object: String,
    },
    /// The org has the unique external-id field on Task, and the API user may write it.
    KeyField {
        /// Its API name.
        field: String,
    },
    /// It sees Tasks and records of others, however they are shared.
    ViewAllData,
    /// It sees every user, so that each agent is found as an owner.
    ViewAllUsers,
    /// The org has API requests left today.
    RequestsLeft {
        /// Used in the last 24 hours, by all tools of the org; `None` where it is not told.
        used: Option<u64>,
        /// Allowed in 24 hours.
        limit: Option<u64>,
    },
    /// It may use nothing but the API, and so is nobody's own user.
    ApiOnly,
}

/// One line of a preflight.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Check {
    /// What it is about.
    #[serde(flatten)]
    pub point: Point,
    /// What was found.
    pub found: Found,
}

impl Point {
    /// Whether calls are not logged as they should be without it. What is not needed makes the work
    /// safer or more complete.
    pub const fn is_needed(&self) -> bool {
        matches!(
            self,
            Self::ApiEnabled | Self::EditTasks | Self::WriteField { .. } | Self::SearchSome
        )
    }

    /// Its name for people: `create Task`, `Task.CallObject`.
    pub fn name(&self) -> String {
        match self {
            Self::ApiEnabled => "use the API".to_owned(),
            Self::EditTasks => "create Task".to_owned(),
            Self::WriteField { field } => format!("Task.{field}"),
            Self::SearchSome => "search any object".to_owned(),
            Self::SearchObject { object } => format!("search {object}"),
            Self::KeyField { field } => format!("unique field Task.{field}"),
            Self::ViewAllData => "see all data".to_owned(),
            Self::ViewAllUsers => "see all users".to_owned(),
            Self::RequestsLeft {
                used: Some(used),
                limit: Some(limit),
            } => format!("API requests left today ({used} of {limit} used)"),
            Self::RequestsLeft { .. } => "API requests left today".to_owned(),
            Self::ApiOnly => "API only".to_owned(),
        }
    }

    /// The setting in Salesforce that makes it so.
    pub fn setting(&self) -> String {
        let permission = |name: &str| {
            format!("Setup > Permission Sets > the API user's > System Permissions > {name}")
        };
        match self {
            Self::ApiEnabled => permission("API Enabled"),
            Self::EditTasks => permission("Edit Tasks"),
            Self::ViewAllData => permission("View All Data"),
            Self::ViewAllUsers => permission("View All Users"),
            Self::ApiOnly => permission("API Only User"),
            Self::WriteField { field } => {
                format!(
                    "Setup > Permission Sets > the API user's > Object Settings > Tasks > {field} > Edit Access"
                )
            }
            Self::SearchSome => "Setup > Permission Sets > the API user's > Object Settings > Contacts, Leads or Accounts > Read, and Read Access of their phone fields".to_owned(),
            Self::SearchObject { object } => format!(
                "Setup > Permission Sets > the API user's > Object Settings > {object} > Read, and Read Access of its phone fields"
            ),
            Self::KeyField { field } => format!(
                "Setup > Object Manager > Activity > Fields & Relationships > New > Text(255), Unique and External ID, named {field}, with Edit Access for the API user"
            ),
            Self::RequestsLeft { .. } => {
                "Setup > Company Information > API Requests, Last 24 Hours".to_owned()
            }
        }
    }

    /// Where that setting is, in this org.
    pub fn address(&self, org: &LinkedOrg) -> String {
        let host = org.instance_url.trim_end_matches('/');
        format!("{host}{}", self.path())
    }

    /// The same below the org's own address.
    const fn path(&self) -> &'static str {
        match self {
            Self::ApiEnabled
            | Self::EditTasks
            | Self::ViewAllData
            | Self::ViewAllUsers
            | Self::ApiOnly
            | Self::SearchSome
            | Self::SearchObject { .. } => "/lightning/setup/PermSets/home",
            Self::WriteField { .. } => {
                "/lightning/setup/ObjectManager/Task/FieldsAndRelationships/view"
            }
            Self::KeyField { .. } => {
                "/lightning/setup/ObjectManager/Activity/FieldsAndRelationships/view"
            }
            Self::RequestsLeft { .. } => "/lightning/setup/CompanyProfileInfo/home",
        }
    }

    /// Where Salesforce explains that setting.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::ApiEnabled | Self::EditTasks | Self::ViewAllData | Self::ViewAllUsers => {
                help::PERMISSIONS
            }
            Self::WriteField { .. } | Self::SearchSome | Self::SearchObject { .. } => {
                help::FIELD_SECURITY
            }
            Self::KeyField { .. } => help::CUSTOM_FIELDS,
            Self::RequestsLeft { .. } => help::API_LIMITS,
            Self::ApiOnly => help::INTEGRATION_USER,
        }
    }
}

/// The names of what is needed and was found missing: with any, the link is at risk. What is not
/// known is not missing.
pub fn missing(checks: &[Check]) -> Vec<String> {
    let lacks = |check: &&Check| check.point.is_needed() && check.found == Found::No;
    let lacking = checks.iter().filter(lacks);
    lacking.map(|check| check.point.name()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_and_known_to_be_missing_counts() {
        let check = |point, found| Check { point, found };
        let checks = [
            check(Point::EditTasks, Found::No),
            check(Point::ApiEnabled, Found::Unknown),
            check(Point::ViewAllData, Found::No),
        ];
        assert_eq!(missing(&checks), ["create Task"]);
    }

    #[test]
    fn a_check_is_stored_flat() {
        let field = "CallObject".to_owned();
        let check = Check {
            point: Point::WriteField { field },
            found: Found::Yes,
        };
        let json =
            serde_json::json!({ "about": "write_field", "field": "CallObject", "found": "yes" });
        assert_eq!(serde_json::to_value(&check).expect("JSON"), json);
        assert_eq!(
            serde_json::from_value::<Check>(json).expect("a check"),
            check
        );
    }
}
